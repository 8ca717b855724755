"""A bound on time for code that has none: the vendor's SDK reads on for as long as noise arrives.

By SIGALRM, so for the main thread only; elsewhere (connecting again, in a thread of its own, where
nothing waits for it) the block runs unbounded. An alarm from before is set again afterwards.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_AGAIN_S = 0.05
"""Raised again until the block is left: somewhere inside, an ``except OSError`` may take it for an
error of the port and go on."""


class DeadlineError(TimeoutError):
    """The time was up."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise a DeadlineError in the block after ``seconds``. 5 µs when nothing happens."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    inside = True

    def up(number: int, frame: FrameType | None) -> None:
        if inside:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
            raise DeadlineError(f"no end within {seconds * 1e3:.0f} ms")

    handler = signal.signal(signal.SIGALRM, up)
    left_s, every_s = signal.setitimer(signal.ITIMER_REAL, seconds)
    began = time.monotonic()
    try:
        try:
            yield
        finally:
            inside = False
    finally:
        # Twice: the alarm may come at the very line above, and not again before this one.
        inside = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        if left_s:
            signal.signal(signal.SIGALRM, handler)
            left_s = max(1e-3, left_s - (time.monotonic() - began))
            signal.setitimer(signal.ITIMER_REAL, left_s, every_s)
