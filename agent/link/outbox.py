"""Events that wait for the broker: kept in order, on disk, over restarts, up to a size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MAX_EVENTS = 10_000
"""About two days of a busy robot; beyond that the oldest go, and their number is kept."""


class Outbox:
    """A file of JSON lines and a file with how many of them were sent.

    Args:
        path: The file; ``<path>.sent`` lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sent_path = path.with_name(path.name + ".sent")
        self._events: list[dict[str, Any]] = []
        self.lost = 0
        if path.is_file():
            sent = int(self._sent_path.read_text() or 0) if self._sent_path.is_file() else 0
            lines = path.read_bytes().split(b"\n")
            # The last line has no newline when a crash tore it.
            self._events = [json.loads(line) for line in lines[sent:-1]]
        self._rewrite()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def first(self) -> dict[str, Any] | None:
        """The oldest that was not sent."""
        return self._events[0] if self._events else None

    def put(self, event: dict[str, Any]) -> None:
        """Keep an event until it was sent."""
        self._events.append(event)
        if len(self._events) > MAX_EVENTS:
            dropped = len(self._events) - MAX_EVENTS // 2
            self.lost += dropped
            del self._events[:dropped]
            self._rewrite()
            return
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def sent(self) -> None:
        """The first one has arrived."""
        self._events.pop(0)
        self._sent += 1
        self._sent_path.write_text(str(self._sent))
        if not self._events:
            self._rewrite()

    def close(self) -> None:
        self._file.close()

    def _rewrite(self) -> None:
        partial = self._path.with_name(self._path.name + ".new")
        partial.write_text("".join(json.dumps(e) + "\n" for e in self._events))
        # Sent first: after a crash between the two, events come twice, not never.
        self._sent_path.write_text("0")
        partial.replace(self._path)
        self._sent = 0
        self._file = self._path.open("a", encoding="utf-8")
