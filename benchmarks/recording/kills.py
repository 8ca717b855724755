"""SIGKILL while recording: ``python -m benchmarks.recording.kills [--kills 200] [--seed 0]``.

Two cameras of 320×240 at 30 Hz, episodes of ``--episode`` s one after the other. The recorder is
killed at random instants; then plain LeRobot opens what is there, before anything repairs it. A
share of the kills (``--early``) falls into the start, while what the kill before left is repaired
and recovered: at a random part of the time that the last whole start took. One that is ready sooner
is killed then, and not counted among these.

- *Saved episodes lost*: the recorder had said that they are saved, and LeRobot doesn't find each of
  their frames: as many rows as were said, and as many pictures of each camera (decoded, of the
  newest episodes; of older ones, by how long their video files last).
- *Unfinished*: seconds of the open episode that had been handed over, and how many of them the next
  start brings back, rows and pictures. An episode that was ended but not yet called saved counts as
  unfinished.

Half of Armada's kills fall on one data set, which grows: each session goes on with what the last
one left. The other half fall on one with a quota of a few episodes, so that a save deletes the
oldest, which are not lost as long as all newer ones are there, and enough of them. LeRobot's is
begun anew where it can't be opened any more, and gone on with where it can.

To be done in less than an hour, recorders are forked from a process that has LeRobot imported, and
both are killed at the same time, side by side.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.inference.setting import machine
from benchmarks.inference.table import show
from benchmarks.recording.forks import FORKS, ask
from benchmarks.recording.lerobot import record
from benchmarks.recording.look import Found, look
from benchmarks.recording.ours import Ours
from benchmarks.recording.scene import FPS, Scene

SIZE = (240, 320)
_PAUSE = 6
_NEWEST = 4

_QUOTA_GB = 0.008
"""About ten episodes of 1.5 s."""

_LEFT = 4
"""So many episodes are always within the quota."""

_START_S = 1.0
"""Of a start, before one was measured."""

HEADERS = (
    "recorder",
    "kills",
    "of these in the start",
    "in a deletion",
    "episodes said to be saved",
    "of these lost",
    "kills after which LeRobot can't open it",
    "unfinished, s: handed over",
    "lost",
    "lost at a kill: median",
    "largest",
)


@dataclass(frozen=True)
class Kill:
    """When.

    Args:
        early: The part of the start after which; ``None``: not in the start.
        after_s: Seconds after it is ready.
    """

    early: float | None
    after_s: float


@dataclass
class Toll:
    """Of one recorder."""

    name: str
    kills: int = 0
    early: int = 0
    deleting: int = 0
    saved: int = 0
    lost: int = 0
    unreadable: int = 0
    handed_s: float = 0.0
    lost_s: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def count(self, found: Found, saved: dict[int, int], *, thinned: bool = False) -> None:
        """After a kill, before any repair.

        Args:
            found: What LeRobot finds.
            saved: Frames of the episodes that are said to be saved; what is gone is taken out.
            thinned: The oldest episodes may have been deleted.
        """
        gone = [n for n, frames in saved.items() if _whole(found, n) < frames]
        oldest = min(found.lengths, default=0)
        on_purpose = thinned and not found.error and len(found.lengths) >= _LEFT
        for number in gone:
            del saved[number]
            self.lost += not (on_purpose and number < oldest)
        if found.error:
            self.unreadable += 1
            self.errors[found.error] = self.errors.get(found.error, 0) + 1

    def recovered(self, found: Found, handed: dict[int, int]) -> None:
        """After the next start: how much of what was handed over is there."""
        lost = sum(frames - _whole(found, number) for number, frames in handed.items())
        if handed:
            self.lost_s.append(lost / FPS)

    def row(self) -> list[str]:
        lost = np.array(self.lost_s or [0.0])
        return [
            self.name,
            str(self.kills),
            str(self.early),
            str(self.deleting),
            str(self.saved),
            str(self.lost),
            str(self.unreadable),
            f"{self.handed_s:.0f}",
            f"{lost.sum():.1f}",
            f"{np.median(lost):.2f}",
            f"{lost.max():.2f}",
        ]

    def say(self) -> None:
        if self.kills % 10 == 0:
            print("so far:", ", ".join(self.row()), file=sys.stderr, flush=True)


def _whole(found: Found, number: int) -> int:
    """Frames of an episode of which LeRobot has the row and every picture."""
    return min(found.lengths.get(number, 0), found.whole.get(number, 0))


def kill_ours(folder: Path, scene: Scene, kills: list[Kill], frames: int, quota_gb: float) -> Toll:
    """One data set, as many sessions as kills."""
    name = "Armada, with a quota" if quota_gb else "Armada"
    toll = Toll(name)
    recorder = Ours(folder, scene, quota_gb=quota_gb, delete_unused=True)
    saved: dict[int, int] = {}
    # Of the open episodes of the last session: frames.
    handed: dict[int, int] = {}
    number, start_s = 0, _START_S
    for kill in kills:
        left, handed = handed, {}
        began = time.perf_counter()
        if kill.early is not None:
            recorder.launch()
            until = began + kill.early * start_s
            while not (ready := recorder.ready) and time.perf_counter() < until:
                time.sleep(0.005)
            toll.early += not ready
            handed = {} if ready else left
        else:
            recorder.start()
            start_s = time.perf_counter() - began
            ready = True
            number, handed = _record(recorder, number, frames, kill.after_s)
        recorder.kill()
        toll.kills += 1
        toll.deleting += (folder / ".data.thinned").is_dir()
        toll.saved += len(recorder.saved)
        saved |= recorder.saved
        handed = {n: i for n, i in handed.items() if n not in saved}
        found = ask(look, recorder.root, _NEWEST)
        if ready:
            toll.recovered(found, left)
            toll.handed_s += sum(handed.values()) / FPS
        toll.count(found, saved, thinned=bool(quota_gb))
        toll.say()
    recorder.start()
    recorder.finish()
    found = ask(look, recorder.root, sys.maxsize)
    toll.recovered(found, handed)
    toll.count(found, saved, thinned=bool(quota_gb))
    return toll


def _record(recorder: Ours, number: int, frames: int, lasts_s: float) -> tuple[int, dict[int, int]]:
    """Episodes after ``number`` for so long; the last one's number, and frames of each."""
    handed: dict[int, int] = {}
    at = time.perf_counter()
    until = at + lasts_s
    while time.perf_counter() < until:
        number += 1
        recorder.begin(number)
        for i in range(frames):
            at += 1 / FPS
            time.sleep(max(0.0, min(at, until) - time.perf_counter()))
            if time.perf_counter() >= until:
                break
            recorder.tap(number, i)
            handed[number] = i + 1
        else:
            recorder.end()
            at += _PAUSE / FPS
            time.sleep(max(0.0, min(at, until) - time.perf_counter()))
    return number, handed


def kill_theirs(folder: Path, scene: Scene, kills: list[Kill], frames: int) -> Toll:
    """A session for each kill, on the same data set as long as it opens."""
    toll = Toll("LeRobot")
    saved: dict[int, int] = {}
    number, generation, start_s = 1, 0, _START_S
    for kill in kills:
        root = folder / f"data{generation}"
        here, there = FORKS.Pipe()
        process = FORKS.Process(target=record, args=(there, root, scene, number, frames, _PAUSE))
        process.start()
        there.close()
        here.recv()
        began = time.perf_counter()
        opened = True
        if kill.early is not None:
            toll.early += not here.poll(kill.early * start_s)
        elif opened := _opens(here):
            start_s = time.perf_counter() - began
            time.sleep(kill.after_s)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        handed, done = _heard(here)
        saved |= {n: handed[n] for n in done}
        toll.saved += len(done)
        number = max([number, *handed]) + 1
        unfinished = sum(rows for n, rows in handed.items() if n not in done) / FPS
        toll.handed_s += unfinished
        if handed:
            toll.lost_s.append(unfinished)
        found = ask(look, root, _NEWEST)
        before = toll.lost
        toll.kills += 1
        toll.count(found, saved)
        if not opened or found.error or toll.lost > before or not found.claimed:
            generation += 1
            saved = {}
        toll.say()
    return toll


def _opens(here: Connection) -> bool:
    """Wait until LeRobot goes on with its data set; ``False``: it says above why it can't."""
    with contextlib.suppress(EOFError):
        here.recv()
        return True
    return False


def _heard(here: Connection) -> tuple[dict[int, int], set[int]]:
    """What LeRobot's recorder told before it died: frames of each episode, and which are saved."""
    handed: dict[int, int] = {}
    done: set[int] = set()
    with contextlib.suppress(EOFError):
        while True:
            kind, *about = here.recv()
            if kind == "saved":
                done.add(about[0])
            elif kind == "row":
                handed[about[0]] = about[1] + 1
    return handed, done


def plan(rng: random.Random, kills: int, early: float, within_s: float) -> list[Kill]:
    """Random kills."""
    drawn = [(rng.random(), rng.random(), rng.uniform(0.0, within_s)) for _ in range(kills)]
    return [Kill(part if which < early else None, after_s) for which, part, after_s in drawn]


def main() -> int:
    """Kill and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episode", type=float, default=1.5, help="seconds of an episode")
    parser.add_argument("--within", type=float, default=5.0, help="s from when it is ready")
    parser.add_argument("--early", type=float, default=0.25, help="share of kills in the start")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    kills = plan(random.Random(args.seed), args.kills, args.early, args.within)
    halves = (kills[: args.kills // 2], kills[args.kills // 2 :])
    frames = round(args.episode * FPS)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="armada-kills-") as folder:
        ours, quota, theirs = (Path(folder) / name for name in ("ours", "quota", "theirs"))
        for path in (ours, quota, theirs):
            path.mkdir()
        scene = Scene(*SIZE)
        scene.load(Path(folder) / "pictures")
        with ThreadPoolExecutor() as pool:
            beside = pool.submit(kill_theirs, theirs, scene, kills, frames)
            tolls = [
                kill_ours(ours, scene, halves[0], frames, 0.0),
                kill_ours(quota, scene, halves[1], frames, _QUOTA_GB),
                beside.result(),
            ]
    print(
        f"{machine()}; {args.kills} kills each, seed {args.seed}, within {args.within:g} s of when "
        f"it is ready or (a share of {args.early:g}) before, episodes of {args.episode:g} s; "
        f"{scene.shows}; {(time.monotonic() - began) / 60:.0f} min\n"
    )
    show(HEADERS, [toll.row() for toll in tolls], markdown=args.markdown)
    for toll in tolls:
        for error, times in sorted(toll.errors.items(), key=lambda e: -e[1])[:4]:
            print(f"\n{toll.name}, {times} times: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
