"""Processes of the demonstration: started with the commands that users type, ended in order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from robots.errors import ArmadaError

_QUIET = {
    # Several torch processes on a few cores: more threads than that only fight each other.
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class StageError(ArmadaError):
    """A part of the demonstration did not do what it should; the message says which and how."""


class Stage:
    """The running processes.

    Args:
        logs: Folder for their output.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *words: str) -> None:
        """Start ``armada <words>`` and send its output to ``<logs>/<name>.log``."""
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | _QUIET,
                start_new_session=True,
            )

    def run(self, *words: str) -> int:
        """Run ``armada <words>`` in the foreground, its output where ours goes."""
        return subprocess.run(
            [sys.executable, "-m", "agent.cli", *words], env=os.environ | _QUIET, check=False
        ).returncode

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def wait_for(self, what: str, condition: Callable[[], bool], timeout_s: float) -> None:
        """Poll until ``condition()``.

        Raises:
            StageError: a process ended meanwhile, or the time is up.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            for name, process in self._running.items():
                if process.poll() is not None:
                    tail = " | ".join(self.log(name).read_text(errors="replace").splitlines()[-3:])
                    raise StageError(
                        f"{name} ended with status {process.returncode} while {what}: {tail}"
                    )
            if time.monotonic() > deadline:
                raise StageError(f"not within {timeout_s:g} s: {what} (see {self._logs})")
            time.sleep(0.2)

    def join(self, name: str, timeout_s: float) -> int:
        """Wait for the end of a process that was told to end; its status."""
        process = self._running.pop(name)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise StageError(f"{name} did not end within {timeout_s:g} s") from None

    def end(self) -> None:
        """SIGTERM to all, SIGKILL to what is left."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


def free_ports(n: int) -> list[int]:
    """TCP ports on loopback that were free a moment ago."""
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()
