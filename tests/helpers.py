"""What several tests need: free ports and waiting on conditions."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import time
from collections.abc import Callable

_FIRST, _LAST = 12_000, 28_000
"""Below what the kernel gives to outgoing connections (32768 on Linux): a port is still free when
the process that it is for has started."""

_PORTS = itertools.chain(
    range(random.SystemRandom().randrange(_FIRST, _LAST), _LAST),
    itertools.cycle(range(_FIRST, _LAST)),
)
"""Each process of tests begins elsewhere, so that no two give out the same ones."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, another one at each call."""
    for port in _PORTS:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("range() is never empty")


def wait_until[T](condition: Callable[[], T], *, timeout_s: float = 60.0, what: str = "") -> T:
    """Poll until ``condition()`` is truthy and return it; ``AssertionError`` after the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or condition}")
        time.sleep(0.02)
