"""The record of a round: JSON lines, appended by the ServerApp and by the server beside it.

Two processes write. Each line is one ``write`` to a file opened for appending, which POSIX keeps
whole; a line cut by a power failure is skipped by readers.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TERMINAL = ("finished", "failed", "cancelled")


@dataclass(frozen=True)
class RoundEvent:
    """One event: ``sequence`` counts from 1 within a round, ``time`` is seconds since the epoch."""

    sequence: int
    time: float
    kind: str
    data: dict[str, Any]


class EventFile:
    """Appends to and reads the events of one round.

    Args:
        path: ``…/rounds/<id>/events.jsonl``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def emit(self, kind: str, /, **data: Any) -> None:
        """Append an event; it is on disk when this returns."""
        line = json.dumps({"time": time.time(), "kind": kind, "data": data}, allow_nan=False)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, after: int = 0) -> list[RoundEvent]:
        """The events whose sequence is above ``after``."""
        if not self._path.exists():
            return []
        events = []
        for number, line in enumerate(self._path.read_bytes().split(b"\n")[:-1], start=1):
            if number <= after:
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            events.append(RoundEvent(number, entry["time"], entry["kind"], entry["data"]))
        return events
