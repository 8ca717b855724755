"""A bound on time for code that has none: the vendor's SDK reads on for as long as noise arrives.

By SIGALRM, so for the main thread only; elsewhere (connecting again, in a thread of its own, where
nothing waits for it) the block runs unbounded.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class DeadlineError(TimeoutError):
    """The time was up."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise a DeadlineError in the block after ``seconds``. 5 µs when nothing happens."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def up(number: int, frame: FrameType | None) -> None:
        raise DeadlineError(f"no end within {seconds * 1e3:.0f} ms")

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
