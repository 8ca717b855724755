"""Flower's SuperLink for the time of one simulation: started, asked, and ended with all it started.

``flwr run`` starts one that stays, in a home that all of a user's runs share. This one has a free
port and a home of its own, and nothing of it is left, however the command ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from agent.supervisor.child import Child, ChildSpec
from robots.errors import FederationError
from server.flower_control import FlowerControl

_READY_S = 120.0
_END_S = 20.0
_GRACE_S = 5.0
"""How long those have whose parent is gone; Ray's notice it by themselves."""

_POLL_S = 0.2


@dataclass(frozen=True)
class Engine:
    """A running SuperLink.

    Args:
        control: Its client.
        child: It.
        family: All that was seen of what it started, and what those started.
    """

    control: FlowerControl
    child: Child
    family: set[psutil.Process] = field(default_factory=set)

    def alive(self) -> bool:
        self.child.poll()
        return self.child.alive

    def look(self) -> None:
        """Remember who belongs to it: Ray's processes outlive the one that started them."""
        if self.child.pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.family.update(psutil.Process(self.child.pid).children(recursive=True))

    def last_words(self, lines: int = 3) -> str:
        """The end of its log."""
        text = self.child.spec.log.read_text(encoding="utf-8", errors="replace")
        return " | ".join(line.strip() for line in text.splitlines()[-lines:])


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Start it; it is ended on leaving.

    Args:
        folder: For its log and its home.

    Raises:
        FederationError: it doesn't come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{_free_port()}"
    child = Child(_spec(address, folder))
    child.start()
    with FlowerControl(address) as control:
        running = Engine(control, child)
        try:
            _await(running)
            yield running
        finally:
            _end(running)


def _spec(address: str, folder: Path) -> ChildSpec:
    host, _, port = address.rpartition(":")
    argv = [
        str(Path(sys.executable).with_name("flower-superlink")),
        "--insecure",
        "--simulation",
        "--isolation=subprocess",
        "--disable-runtime-dependency-installation",
        f"--host={host}",
        f"--port={port}",
    ]
    environment = {
        "FLWR_HOME": str(folder.resolve() / "flower"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # Ray's 15 would leave clients next to nothing on a host that does anything else.
        "RAY_worker_niceness": "0",
        "TOKENIZERS_PARALLELISM": "false",
        # Flower starts `flower-superexec` and `flwr-simulation` by name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    return ChildSpec(name="superlink", argv=argv, log=folder / "flower.log", env=environment)


def _await(running: Engine) -> None:
    deadline = time.monotonic() + _READY_S
    while not running.control.reachable():
        if not running.alive() or time.monotonic() > deadline:
            raise FederationError(
                f"Flower's SuperLink did not come up: {running.last_words()}",
                remedy=f"See {running.child.spec.log}",
            )
        time.sleep(_POLL_S)


def _end(running: Engine) -> None:
    """End the SuperLink and what it started: the SuperExec, the simulation, Ray."""
    running.look()
    running.child.end(_END_S)
    _, left = psutil.wait_procs(list(running.family), timeout=_GRACE_S)
    for member in left:
        # psutil knows a process by its start as well: it ends no other one of that number.
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(left, timeout=_END_S)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
