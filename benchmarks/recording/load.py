"""Recording beside a policy: ``python -m benchmarks.recording.load [--minutes 10] [--size full]``.

Two cameras of 640×480 at 30 Hz, while SmolVLA, loaded and asked as a policy worker does it, with as
many threads as there are cores, is asked without pause at the worker's niceness (5). In turn:
Armada's recorder process, fed as control feeds it; LeRobot's data set with its streaming encoder,
fed in the loop's own thread as ``lerobot-record`` does. The same pictures, ticks and encoder
settings, and each at its own priorities: Armada's loop at −10 and its recorder at the supervisor's
niceness, LeRobot's one process at 0, and once more at −10, which it doesn't give itself.

True size needs the VLM's tokenizer from the hub or its cache (``HF_HUB_CACHE``); the tiny policy
needs nothing, and keeps one core busy rather than two.

- *Late*: a tick more than half a period after its time, skipped ones counted.
- *Pictures*: what the video files hold, all cameras; rows × cameras is what they should.
- *Lag*: the most pictures of one camera that waited for its encoder, looked at twice a second: so
  often Armada's recorder says it.
- *Repeated*: pictures that were not to be had, and marked; *reduced*: at less resolution, marked.
- *Chunks*: what the policy got done beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.control.ticker import Ticker
from agent.recorder.marks import read_marks
from agent.supervisor.children import POLICY_NICE
from benchmarks.inference.pictures import CAMERAS
from benchmarks.inference.policies import make_policy
from benchmarks.inference.setting import machine
from benchmarks.inference.table import show
from benchmarks.priority import nice
from benchmarks.recording.forks import FORKS, ask
from benchmarks.recording.lerobot import frame, open_dataset
from benchmarks.recording.look import look
from benchmarks.recording.ours import Ours
from benchmarks.recording.scene import FPS, TASK, Scene

SIZE = (480, 640)
_LOOK_EVERY = FPS // 2
"""Ticks between looks at the lag."""

HEADERS = (
    "recorder",
    "ticks",
    "late",
    "longest tap, ms",
    "rows",
    "pictures missing",
    "repeated",
    "reduced",
    "lag, pictures",
    "slowest save, s",
    "MB a minute",
    "policy: chunks a second",
)


@dataclass
class Result:
    """Of one recorder."""

    ticks: int = 0
    late: int = 0
    longest_s: float = 0.0
    lag: int = 0
    save_s: float = 0.0
    repeated: int = 0
    reduced: int = 0
    chunks_hz: float = 0.0


class Clock:
    """Ticks, and what they cost."""

    def __init__(self, result: Result) -> None:
        self._ticker = Ticker(FPS)
        self._ticker.restart()
        self._result = result
        self._began = 0.0

    def wait(self) -> None:
        """Until the next tick."""
        if self._began:
            spent = time.perf_counter() - self._began
            self._result.longest_s = max(self._result.longest_s, spent)
        tick = self._ticker.wait()
        self._result.ticks += 1 + tick.skipped
        self._result.late += tick.skipped + (tick.lateness_s > 0.5 / FPS)
        self._began = time.perf_counter()


def think(policy: Path, scene: Scene, threads: int, chunks: Any) -> None:
    """Ask the policy without pause until killed; ``chunks`` counts."""
    from agent.policy.engines.choice import use_engine
    from agent.policy.load import load_policy, set_threads
    from agent.policy.predict import predict_chunk

    os.setpriority(os.PRIO_PROCESS, 0, POLICY_NICE)
    set_threads(threads)
    loaded = use_engine(load_policy(str(policy)), threads=threads)
    while True:
        i = chunks.value
        predict_chunk(loaded, scene.state(0, i), scene.images(i), TASK)
        chunks.value = i + 1


@contextlib.contextmanager
def thinking(policy: Path | None, scene: Scene, threads: int) -> Iterator[Callable[[], int]]:
    """Its chunks since the context began, which is after its first; ``None``: nobody thinks."""
    if policy is None:
        yield lambda: 0
        return
    chunks = FORKS.Value("q", 0, lock=False)
    process = FORKS.Process(target=think, args=(policy, scene, threads, chunks), daemon=True)
    process.start()
    try:
        while not (before := chunks.value):
            if not process.is_alive():
                raise SystemExit(f"the policy's process ended with {process.exitcode}, see above")
            time.sleep(0.05)
        yield lambda: int(chunks.value) - before
    finally:
        process.kill()
        process.join()


def run_ours(folder: Path, scene: Scene, episodes: int, frames: int) -> Result:
    """Armada."""
    result, recorder = Result(), Ours(folder, scene)
    recorder.start()
    clock = Clock(result)
    for episode in range(episodes):
        recorder.begin(episode)
        for i in range(frames):
            clock.wait()
            recorder.tap(episode, i)
            if i % _LOOK_EVERY == 0:
                result.lag = max(result.lag, recorder.status()["waiting_pictures"])
        recorder.end()
    recorder.finish()
    result.save_s = max(d["seconds"] for kind, d in recorder.events if kind == "episode_saved")
    for episode in range(episodes):
        cameras: dict[str, Any] = read_marks(recorder.root, episode)["cameras"]
        result.repeated += sum(c["repeated"] for c in cameras.values())
        result.reduced += sum(c["reduced"] for c in cameras.values())
    return result


def run_theirs(folder: Path, scene: Scene, episodes: int, frames: int) -> Result:
    """LeRobot."""
    result = Result()
    dataset = open_dataset(folder / "data", scene, threads=1)
    clock = Clock(result)
    for episode in range(episodes):
        for i in range(frames):
            clock.wait()
            dataset.add_frame(frame(scene, episode, i))
            if i % _LOOK_EVERY == 0:
                queues = dataset.writer._streaming_encoder._frame_queues.values()
                result.lag = max(result.lag, *(q.qsize() for q in queues))
        began = time.perf_counter()
        dataset.save_episode()
        result.save_s = max(result.save_s, time.perf_counter() - began)
    dataset.finalize()
    return result


def row(name: str, of: Result, root: Path, minutes: float) -> list[str]:
    """A line of the table."""
    found = ask(look, root, 1)
    rows = sum(found.lengths.values())
    missing = len(CAMERAS) * rows - sum(found.pictures.values())
    marked = name == "Armada"
    return [
        name,
        str(of.ticks),
        f"{of.late} ({100 * of.late / of.ticks:.2f} %)",
        f"{1e3 * of.longest_s:.0f}",
        str(rows) if not found.error else f"can't be opened: {found.error}",
        str(missing),
        str(of.repeated) if marked else "not marked",
        str(of.reduced) if marked else "none",
        str(of.lag),
        f"{of.save_s:.1f}",
        f"{found.bytes_ / 1e6 / minutes:.1f}",
        f"{of.chunks_hz:.2f}",
    ]


def main() -> int:
    """Record and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each recorder")
    parser.add_argument("--episode", type=float, default=30.0, help="seconds of an episode")
    parser.add_argument("--size", choices=("tiny", "full"), default="full", help="of the policy")
    parser.add_argument("--idle", action="store_true", help="nothing else runs")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    episodes = max(1, round(args.minutes * 60 / args.episode))
    frames = round(args.episode * FPS)
    cores = os.cpu_count() or 1
    rows = []
    with tempfile.TemporaryDirectory(prefix="armada-load-") as folder:
        scene = Scene(*SIZE)
        scene.load(Path(folder) / "pictures")
        policy = None if args.idle else make_policy(Path(folder) / "policy", args.size)
        for name, run, priority in (
            ("Armada", run_ours, -10),
            ("LeRobot", run_theirs, 0),
            ("LeRobot, at Armada's priority", run_theirs, -10),
        ):
            (Path(folder) / name).mkdir()
            with thinking(policy, scene, cores) as chunks, nice(priority):
                began = time.monotonic()
                result = run(Path(folder) / name, scene, episodes, frames)
                result.chunks_hz = chunks() / (time.monotonic() - began)
            minutes = episodes * args.episode / 60
            rows.append(row(name, result, Path(folder) / name / "data", minutes))
            print(f"{name} is done", file=sys.stderr, flush=True)
    load = "idle" if args.idle else f"SmolVLA, {args.size} size, {cores} threads"
    print(f"{machine()}; {load}; {episodes} episodes of {args.episode:g} s each; {scene.shows}\n")
    show(HEADERS, rows, markdown=args.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
