"""Events that wait for the broker: kept in order, on disk, over restarts, up to a number."""

from __future__ import annotations

import logging
from pathlib import Path

from agent.link.messages import Event, decode, encode
from robots.errors import LinkError

logger = logging.getLogger(__name__)

MAX_EVENTS = 10_000
"""About two days of a busy robot; beyond that the older half goes."""


class Outbox:
    """A file of JSON lines and a file with how many of them were sent.

    A disk that takes no more costs the safety of the file, not the line to the fleet: events are
    kept in memory as well.

    Args:
        path: The file; ``<path>.sent`` lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sent_path = path.with_name(path.name + ".sent")
        self._events: list[Event] = []
        if path.is_file():
            # The last line has no newline when a crash tore it.
            lines = path.read_bytes().split(b"\n")[:-1]
            self._events = [e for line in lines[self._read_sent() :] if (e := _event(line))]
        self._rewrite()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def first(self) -> Event | None:
        """The oldest that was not sent."""
        return self._events[0] if self._events else None

    def put(self, event: Event) -> int:
        """Keep an event until it was sent; returns how many old ones had to go for it."""
        self._events.append(event)
        dropped = 0
        try:
            if len(self._events) > MAX_EVENTS:
                dropped = len(self._events) - MAX_EVENTS // 2
                del self._events[:dropped]
                self._rewrite()
            else:
                self._file.write(encode(event) + b"\n")
                self._file.flush()
        except OSError as error:
            logger.error("events aren't kept on disk: %s", error)
        return dropped

    def sent(self, event: Event) -> None:
        """This one has arrived; it is the first, unless it had to go meanwhile."""
        if self.first is not event:
            return
        self._events.pop(0)
        self._sent += 1
        try:
            self._sent_path.write_text(str(self._sent))
            if not self._events:
                self._rewrite()
        except OSError as error:
            logger.error("events may be sent twice after a restart: %s", error)

    def _read_sent(self) -> int:
        try:
            return int(self._sent_path.read_text())
        except (OSError, ValueError):
            return 0  # they come twice, not never

    def _rewrite(self) -> None:
        partial = self._path.with_name(self._path.name + ".new")
        partial.write_bytes(b"".join(encode(e) + b"\n" for e in self._events))
        # Sent first: after a crash between the two, events come twice, not never.
        self._sent_path.write_text("0")
        partial.replace(self._path)
        self._sent = 0
        self._file = self._path.open("ab")


def _event(line: bytes) -> Event | None:
    """An event of a line, or None for what a power cut left instead of one."""
    try:
        return decode(Event, line)
    except LinkError as error:
        logger.warning("%s: %r", error, line[:200])
        return None
