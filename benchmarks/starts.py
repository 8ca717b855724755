"""Starts and restarts of an agent: ``python -m benchmarks.starts [--times 3] [--markdown]``.

``armada run`` on an emulated arm with a tiny policy and a recorder, its processes forked off the
supervisor, and the same with every process started afresh, which is what a supervisor does that
can't fork: here because a thread runs in it. In turns; medians are shown. CPU seconds are those of
the supervisor and all its processes; memory is theirs in proportion to who shares it (PSS).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import draccus
import psutil

from agent.config import PolicyRef, RunConfig
from agent.policy.init import build_policy
from agent.recorder.config import RecordConfig
from benchmarks.inference.setting import machine
from benchmarks.inference.table import show
from benchmarks.rig import Power
from robots.emulator.joints import NAMES
from robots.sim.config import ScriptedReachConfig

_RUN = "import sys; from agent.cli import main; sys.exit(main())"
_CONTENDERS = {
    "afresh": "import threading; threading.Thread(target=threading.Event().wait, daemon=True)"
    f".start(); {_RUN}",
    "forked": _RUN,
}
_WORKER = "agent.policy.worker"
_LIMIT_S = 120.0
_SETTLE_S = 3.0

HEADERS = (
    "processes",
    "arm held, s",
    "policy ready, s",
    "CPU until then, s",
    "killed worker ready again, s",
    "CPU of that, s",
    "PSS of all, MB",
)


@dataclass(frozen=True)
class Start:
    """One start; times in s from the command line on, and from the SIGKILL on."""

    held_s: float
    ready_s: float
    cpu_s: float
    again_s: float
    again_cpu_s: float
    pss_mb: float


class Agent:
    """``armada run`` and its processes.

    Args:
        process: The supervisor.
        events: Its log of events.
    """

    def __init__(self, process: psutil.Process, events: Path) -> None:
        self._process = process
        self._events = events

    def _all(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def ready(self) -> int:
        """How often a policy became ready."""
        with contextlib.suppress(FileNotFoundError):
            return self._events.read_text(encoding="utf-8").count('"policy_ready"')
        return 0

    def cpu_s(self) -> float:
        """Of all that live, and of those that they outlived."""
        total = 0.0
        for process in self._all():
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])
        return total

    def pss_mb(self) -> float:
        """Of all."""
        return sum(p.memory_full_info().pss for p in self._all()) / 1e6

    def worker(self) -> int:
        """The policy worker's number."""
        (pid,) = (p.pid for p in self._all() if _WORKER in p.cmdline())
        return int(pid)


def measure(contender: str, policy: Path, folder: Path) -> Start:
    """One start and one restart, on an arm of its own."""
    with Power(f"starts{os.getpid()}") as power, _running(contender, power, policy, folder) as it:
        agent, began = it
        held_s = _until(lambda: all(power.torque()), began)
        ready_s = _until(lambda: agent.ready() == 1, began)
        cpu_s = agent.cpu_s()
        # Each imports at its own time; what is compared is an agent that is there.
        time.sleep(_SETTLE_S)
        pss_mb, before_s = agent.pss_mb(), agent.cpu_s()
        began = time.monotonic()
        os.kill(agent.worker(), signal.SIGKILL)
        again_s = _until(lambda: agent.ready() == 2, began)
        again_cpu_s = agent.cpu_s() - before_s
    print(f"{contender}: ready after {ready_s:.1f} s", file=sys.stderr, flush=True)
    return Start(held_s, ready_s, cpu_s, again_s, again_cpu_s, pss_mb)


@contextlib.contextmanager
def _running(
    contender: str, power: Power, policy: Path, folder: Path
) -> Iterator[tuple[Agent, float]]:
    config = RunConfig(
        robot=power.follower(cameras={"front": power.camera()}),
        teleop=ScriptedReachConfig(id=power.robot_id, robot_id=power.robot_id),
        policy=PolicyRef(path=str(policy)),
        dataset=RecordConfig(num_episodes=50),
        task="reach",
        return_to_initial_position=False,
        state_dir=str(folder / "state"),
    )
    path = folder / "run.yaml"
    path.write_text(draccus.dump(config), encoding="utf-8")
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _CONTENDERS[contender], "run", f"--config_path={path}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield Agent(psutil.Process(process.pid), config.state.events), began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_LIMIT_S)


def _until(condition: Callable[[], bool], began: float) -> float:
    """How long after ``began`` it holds, s.

    Raises:
        RuntimeError: it doesn't.
    """
    while not condition():
        if time.monotonic() - began > _LIMIT_S:
            raise RuntimeError(f"not within {_LIMIT_S:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - began


def _row(name: str, starts: list[Start]) -> list[str]:
    medians = map(statistics.median, zip(*map(astuple, starts), strict=True))
    *times, pss_mb = medians
    return [name, *(f"{value:.1f}" for value in times), f"{pss_mb:.0f}"]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="starts of each")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    where = machine()
    starts: dict[str, list[Start]] = {name: [] for name in _CONTENDERS}
    with tempfile.TemporaryDirectory(prefix="starts-") as root:
        policy = build_policy(
            Path(root) / "policy",
            size="tiny",
            cameras={"front": (96, 96)},
            action_names=[f"{name}.pos" for name in NAMES],
        )
        for turn in range(args.times):
            for name, done in starts.items():
                folder = Path(root) / f"{name}{turn}"
                folder.mkdir()
                done.append(measure(name, policy, folder))
    print(f"{where}; SmolVLA, tiny size; medians of {args.times}\n")
    show(HEADERS, [_row(*both) for both in starts.items()], markdown=args.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
