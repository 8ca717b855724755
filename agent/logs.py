"""Logging of the processes of a robot host: one line a record on stderr, which the supervisor
sends to a file of the process's own.

Control's lines go through a queue to a thread of their own: a disk that is slow or stands still
must not hold a tick. When the queue is full lines are dropped, counted, and told of later.
"""

from __future__ import annotations

import atexit
import logging
import queue
import sys
import time
from logging.handlers import QueueHandler, QueueListener
from types import TracebackType
from typing import Any

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

QUEUED = 10_000
"""Lines that wait for the disk at most, and as many errors besides; minutes of the busiest log."""

FLUSH_S = 5.0
"""How long an exit waits for the disk."""


def configure(level: int = logging.INFO, *, queued: bool = False) -> None:
    """Set up the root logger of this process.

    Args:
        level: Of what is logged.
        queued: Whoever logs never waits for the disk. At the exit everything is written.
    """
    handlers: list[logging.Handler] | None = None
    if queued:
        handlers = [_behind_a_queue()]
    logging.basicConfig(level=level, format=_FORMAT, handlers=handlers, force=True)
    # One line a request is of no use in an agent's log.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _behind_a_queue() -> logging.Handler:
    stream = logging.StreamHandler()
    stream.setFormatter(logging.Formatter(_FORMAT))
    front = Front()
    back = Back(front, stream)
    back.start()
    atexit.register(back.flush)
    hook = sys.excepthook

    def crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # In order: what was logged, and then why it ended.
        back.flush()
        hook(kind, error, trace)

    sys.excepthook = crash
    return front


class Front(QueueHandler):
    """Takes records without waiting; drops and counts what is too much."""

    def __init__(self) -> None:
        # Without a lock that a signal handler could find taken.
        self.waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        super().__init__(self.waiting)
        self.taken = 0
        self.dropped = 0
        # The line's head is Back's; else it would be there twice.
        self.setFormatter(logging.Formatter("%(message)s"))

    def enqueue(self, record: logging.LogRecord) -> None:
        room = QUEUED if record.levelno < logging.ERROR else 2 * QUEUED
        if self.waiting.qsize() >= room:
            self.dropped += 1
        else:
            self.taken += 1
            self.waiting.put(record)


class Back(QueueListener):
    """Writes them."""

    def __init__(self, front: Front, handler: logging.Handler) -> None:
        super().__init__(front.waiting, handler)
        self._front = front
        self._written = 0
        self._told = 0

    def handle(self, record: logging.LogRecord) -> None:
        self._tell()
        super().handle(record)
        self._written += 1

    def flush(self) -> None:
        """Wait until all is written, if the disk takes it at all."""
        deadline = time.monotonic() + FLUSH_S
        while self._written < self._front.taken and time.monotonic() < deadline:
            time.sleep(0.005)

    def _tell(self) -> None:
        """How much is missing, before the last line of those that waited."""
        if (lost := self._front.dropped - self._told) and not self._front.waiting.qsize():
            self._told += lost
            text = f"{lost} lines were dropped before this one: the disk was too slow"
            about = (__name__, logging.WARNING, __file__, 0, text, None, None)
            super().handle(logging.LogRecord(*about))
