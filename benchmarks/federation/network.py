"""A network namespace for one robot, joined to the server's by a cable that can be pulled.

Needs root, iproute2 and a kernel with network namespaces.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

_SERVER, _ROBOT = "10.77.13.1", "10.77.13.2"


@dataclass(frozen=True)
class Cable:
    """Between the server's host and one robot's.

    Args:
        server: Address of the server, on this end.
        space: Name of the robot's namespace.
        device: This end.
    """

    server: str
    space: str
    device: str

    @property
    def inside(self) -> list[str]:
        """Put before a command, has it run on the robot's host."""
        return ["ip", "netns", "exec", self.space]

    def pull(self) -> None:
        """Packets vanish; nobody is told."""
        _ip("link", "set", self.device, "down")

    def plug(self) -> None:
        _ip("link", "set", self.device, "up")


@contextlib.contextmanager
def cable() -> Iterator[Cable]:
    """A namespace and its cable, taken away again at the end.

    Raises:
        OSError: no ``ip`` here.
        subprocess.CalledProcessError: not allowed.
    """
    number = os.getpid() % 100_000
    space, here, there = f"armada-{number}", f"ar{number}a", f"ar{number}b"
    _ip("netns", "add", space)
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", there)
        _ip("link", "set", there, "netns", space)
        _ip("addr", "add", f"{_SERVER}/24", "dev", here)
        _ip("link", "set", here, "up")
        for words in (
            ("addr", "add", f"{_ROBOT}/24", "dev", there),
            ("link", "set", there, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", space, *words)
        yield Cable(_SERVER, space, here)
    finally:
        # With the namespace goes its end, and with that the cable.
        _ip("netns", "del", space)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
