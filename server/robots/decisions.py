"""What robots decided of releases: JSON lines, each decision once, the newest ten thousand.

Robots send an event at least once, and carry the last few along with their status; the id tells
the same one from another.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict
from pathlib import Path

from agent.link.messages import Event, decode, encode
from agent.policy.atomic import append_line, write_text
from robots.errors import LinkError

KINDS = "release_", "rollback_"
"""What events that are decisions begin with."""

LATEST = 1e11
"""Seconds since the epoch, in the year 5138: a time that is no date can't be shown."""

MOST = 10_000
"""Kept; beyond twice as many the older half goes."""

log = logging.getLogger(__name__)


class Decisions:
    """The decisions of a fleet's robots.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._events = _read(path)
        self._ids = {(e.robot, e.id) for e in self._events}

    def note(self, event: Event) -> bool:
        """Keep a decision; whether it is one, and a new one. It is on disk when this returns.

        Raises:
            LinkError: its time is none.
            OSError: it can't be written.
        """
        _check(event)
        key = (event.robot, event.id)
        with self._lock:
            if not event.event.startswith(KINDS) or key in self._ids:
                return False
            append_line(self._path, json.dumps(asdict(event)))
            self._events.append(event)
            self._ids.add(key)
            if len(self._events) > 2 * MOST:
                del self._events[:-MOST]
                self._ids = {(e.robot, e.id) for e in self._events}
                write_text(self._path, "".join(encode(e).decode() + "\n" for e in self._events))
            return True

    def find(self, *, robot: str = "", version: int = 0) -> list[Event]:
        """Oldest first.

        Args:
            robot: Empty: of all robots.
            version: Of the release that was decided on; 0: of all.
        """
        with self._lock:
            events = list(self._events)
        return [
            e
            for e in events
            if (not robot or e.robot == robot) and (not version or version_of(e) == version)
        ]

    def last(self, robot: str) -> Event | None:
        """The last one of a robot."""
        with self._lock:
            return next((e for e in reversed(self._events) if e.robot == robot), None)


def version_of(event: Event) -> int:
    """The release that was decided on; 0: the event doesn't say."""
    version = event.data.get("version", 0)
    return version if type(version) is int else 0


def _check(event: Event) -> None:
    if not 0 <= event.time <= LATEST:
        raise LinkError("is no time", field="Event.time", value=str(event.time)[:60])


def _read(path: Path) -> list[Event]:
    if not path.is_file():
        return []
    events = []
    for line in path.read_bytes().split(b"\n"):
        if not line:
            continue
        try:
            event = decode(Event, line)
            _check(event)
            events.append(event)
        except LinkError as error:
            # Torn by a power cut; the robot that wasn't answered sends it again.
            log.warning("not a decision: %s", error)
    return events[-2 * MOST :]
