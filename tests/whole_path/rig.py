"""An agent as users start it, on LeRobot's follower and emulated servos that outlive it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from agent.commands.stop import order
from agent.paths import StateDir
from benchmarks.rig import Power
from robots.errors import LinkError
from tests.helpers import wait_until


@dataclass
class Rig:
    """A running agent and the power of its arm."""

    power: Power
    state: StateDir
    agent: subprocess.Popen[bytes]

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = order(self.state, "status", {}, timeout_s=30)
        return status

    def children(self, module: str) -> list[int]:
        found = []
        for process in psutil.Process(self.agent.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if module in process.cmdline():
                    found.append(process.pid)
        return found

    def child(self, module: str) -> int:
        return self.children(module)[0]

    def cli(self, *words: str) -> str:
        command = [sys.executable, "-m", "agent.cli", *words, f"--state_dir={self.state.root}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=150)
        return done.stdout

    def back(self, pid: int) -> dict[str, Any] | None:
        """The status of the control process that came after ``pid``, once it is there."""
        try:
            status = self.status()
        except LinkError:
            return None
        return status if status["pid"] != pid and status["ticks"] > 5 else None

    def events(self, kind: str) -> list[dict[str, Any]]:
        text = self.state.events.read_text() if self.state.events.is_file() else ""
        # The last line may be half written.
        lines = text.split("\n")[:-1]
        return [e for e in map(json.loads, lines) if e["event"] == kind]

    def moves(self) -> bool:
        """Whether the joints move, by the plant's account."""
        self.power.do("account", clear=True)
        wait_until(lambda: self.power.do("account")["steps"] > 100, what="some physics")
        account = self.power.do("account")
        ways = zip(account["lowest"], account["highest"], strict=True)
        return any(high - low > 20 for low, high in ways)

    def holds(self) -> bool:
        return not self.moves() and all(self.power.torque())


@contextlib.contextmanager
def running(power: Power, folder: Path, *words: str) -> Iterator[Rig]:
    """Start one on ``power``'s arm, driven by the scripted expert; it is ended at the end."""
    command = [
        sys.executable,
        "-m",
        "agent.cli",
        "run",
        "--robot.type=so101_follower",
        f"--robot.id={power.robot_id}",
        f"--robot.port={power.port}",
        f"--robot.calibration_dir={power.calibration_dir}",
        "--teleop.type=scripted_reach",
        f"--teleop.id={power.robot_id}",
        "--task=reach",
        f"--state_dir={folder / 'arm'}",
        *words,
    ]
    with (folder / "log").open("ab") as log:
        agent = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield Rig(power, StateDir(folder / "arm"), agent)
    finally:
        if agent.poll() is None:
            for process in psutil.Process(agent.pid).children(recursive=True):
                process.send_signal(signal.SIGCONT)
            agent.send_signal(signal.SIGTERM)
            agent.wait(150)
