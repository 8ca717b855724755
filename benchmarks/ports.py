"""Ports for servers that benchmarks and tests start."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket

_FIRST, _LAST = 12_000, 28_000
"""Below what the kernel gives to outgoing connections (32768 on Linux): a port is still free when
the process that it is for has started."""

_SLICES = 8


def _slice() -> range:
    """pytest-xdist's workers (gw0, gw1, …) never give out the same ones."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker:
        return range(_FIRST, _LAST)
    size = (_LAST - _FIRST) // _SLICES
    first = _FIRST + int(worker.removeprefix("gw")) % _SLICES * size
    return range(first, first + size)


def _ports(among: range) -> itertools.chain[int]:
    """Each process begins elsewhere, so that other runs hardly give out the same ones."""
    began = random.SystemRandom().choice(among)
    return itertools.chain(range(began, among.stop), itertools.cycle(among))


_PORTS = _ports(_slice())


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, another one at each call."""
    for port in _PORTS:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("range() is never empty")
