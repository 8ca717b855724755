"""An arm whose policy runs on a server, with one of its own for when that is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.commands.stop import order
from agent.paths import StateDir
from agent.policy.init import build_policy
from robots.emulator.joints import NAMES
from robots.errors import LinkError
from tests.helpers import free_port, wait_until

START_S = 180.0


class Stage:
    """The processes of one test, as users start them."""

    def __init__(self, folder: Path) -> None:
        self.state = StateDir(folder / "arm")
        self._folder = folder
        self._port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        names = [f"{name}.pos" for name in NAMES]
        self.policies = [
            build_policy(
                folder / name, size="tiny", cameras={"front": (96, 96)}, action_names=names, seed=i
            )
            for i, name in enumerate(("local", "served"))
        ]

    def serve(self) -> subprocess.Popen[bytes]:
        return self._start(
            "server",
            "policy-server",
            f"--policy.path={self.policies[1]}",
            f"--listen=127.0.0.1:{self._port}",
            "--threads=1",
        )

    def run(self) -> subprocess.Popen[bytes]:
        return self._start(
            "agent",
            "run",
            "--robot.type=so101_sim",
            f"--robot.id=served{os.getpid()}",
            "--fps=20",
            "--task=reach",
            f"--state_dir={self.state.root}",
            f"--policy.path={self.policies[0]}",
            f"--inference.server=127.0.0.1:{self._port}",
            "--inference.fallback=true",
            "--inference.threads=1",
        )

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = order(self.state, "status", {}, timeout_s=30)
        return status

    def computes(self, where: str) -> dict[str, Any]:
        """Wait until chunks of this kind arrive; the status then."""

        def look() -> dict[str, Any] | None:
            try:
                status = self.status()
            except LinkError:
                return None
            return status if status["inference"] == where and status["chunks"] > 0 else None

        first = wait_until(look, timeout_s=START_S, what=f"{where} chunks")
        counted = [first["chunks"]]

        def more() -> dict[str, Any] | None:
            status = self.status()
            if status["inference"] != where:
                # A server that is starved for a moment is not waited for, which is right.
                counted.clear()
                return None
            counted.append(status["chunks"])
            return status if counted[-1] > counted[0] + 2 else None

        return wait_until(more, timeout_s=START_S, what=f"more {where} chunks")

    def end(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)

    def _start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "agent.cli", *words]
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._processes.append(process)
        return process


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.end()


def test_the_server_computes_while_it_is_there_and_the_robot_itself_else(stage: Stage) -> None:
    agent, server = stage.run(), stage.serve()
    served = stage.computes("remote")

    server.kill()
    server.wait()
    alone = stage.computes("local")
    assert alone["digest"] != served["digest"]
    # No tick and no process was lost by it.
    assert (alone["pid"], alone["state"]) == (served["pid"], "running")

    stage.serve()
    again = stage.computes("remote")
    assert (again["digest"], again["pid"]) == (served["digest"], served["pid"])
    # What was planned for one task says nothing of another; the server is told the new one.
    order(stage.state, "task", {"task": "another"}, timeout_s=30)
    assert stage.computes("remote")["task"] == "another"

    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0
