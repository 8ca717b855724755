"""What several tests need: free ports and waiting on conditions."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.ports import free_port

__all__ = ["free_port", "wait_until"]


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
