"""The schedules of a fleet on disk, and the record of who did what to them."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from agent.policy.atomic import append_line, write_text
from robots.errors import ConfigError, FederationError
from server.schedule.entry import Entry

_MOST = 1000


class Book:
    """Changed by operators and by the clock, from several threads.

    ``schedules.json`` holds them as they are, ``schedules.jsonl`` each change: set, removed,
    started, skipped, with time and name.

    Args:
        folder: Where the two files lie.

    Raises:
        FederationError: what is there can't be read; it is never begun anew in silence.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "schedules.json"
        self._record = folder / "schedules.jsonl"
        self._lock = threading.RLock()
        self._entries = _read(self._path)

    def all(self) -> list[Entry]:
        """By name."""
        with self._lock:
            return [self._entries[name] for name in sorted(self._entries)]

    def get(self, name: str) -> Entry | None:
        with self._lock:
            return self._entries.get(name)

    def set(self, entry: Entry, *, what: str, by: str, **about: Any) -> Entry:
        """Keep an entry; it is on disk when this returns.

        Args:
            entry: As it is from now on.
            what: What happened, for the record.
            by: Who did it.
            about: More for the record.

        Raises:
            ConfigError: there are too many.
        """
        with self._lock:
            if entry.name not in self._entries and len(self._entries) >= _MOST:
                raise ConfigError(f"there are {_MOST} already", field="schedule", value=entry.name)
            self._entries[entry.name] = entry
            self._write(what, entry.name, by, **about)
        return entry

    def change(self, before: Entry, after: Entry, *, what: str, by: str, **about: Any) -> bool:
        """The same, unless an operator changed or removed it meanwhile."""
        with self._lock:
            if self._entries.get(before.name) != before:
                return False
            self.set(after, what=what, by=by, **about)
            return True

    def remove(self, name: str, *, by: str) -> None:
        """Raises: FederationError if there is no such schedule."""
        with self._lock:
            if name not in self._entries:
                raise FederationError("there is no such schedule", field="schedule", value=name)
            del self._entries[name]
            self._write("removed", name, by)

    def _write(self, what: str, name: str, by: str, **about: Any) -> None:
        entries = [e.to_json() for e in self._entries.values()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._path, json.dumps(entries, indent=1))
        line = {"time": time.time(), "schedule": name, "what": what, "by": by, **about}
        append_line(self._record, json.dumps(line))


def _read(path: Path) -> dict[str, Entry]:
    try:
        entries = [Entry.from_json(v) for v in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, ConfigError) as error:
        raise FederationError(
            f"can't be read: {error}",
            field="schedules",
            value=path,
            remedy="Repair or remove the file; without it there are none",
        ) from error
    return {entry.name: entry for entry in entries}
