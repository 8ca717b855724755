"""Ports for servers that benchmarks and tests start."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket

_FIRST, _LAST = 12_000, 28_000
"""Below what the kernel gives to outgoing connections (32768 on Linux): a port is still free when
the process that it is for has started."""

_PORTS = itertools.chain(
    range(random.SystemRandom().randrange(_FIRST, _LAST), _LAST),
    itertools.cycle(range(_FIRST, _LAST)),
)
"""Each process begins elsewhere, so that no two give out the same ones."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, another one at each call."""
    for port in _PORTS:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("range() is never empty")
