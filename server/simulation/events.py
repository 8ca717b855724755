"""The steps of a simulation as JSON lines: the ServerApp writes them, whoever watches reads."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from agent.policy import atomic

FILE = "events.jsonl"
REPORT = "report.json"


class Events:
    """Appends to a simulation's events, and reads them.

    Args:
        output: The simulation's folder.
    """

    def __init__(self, output: Path) -> None:
        self._path = output / FILE
        self._read = 0

    def emit(self, kind: str, **data: Any) -> None:
        """Append one; it is on the disk when this returns."""
        line = json.dumps({"time": time.time(), "kind": kind, **data}, allow_nan=False)
        atomic.append_line(self._path, line)

    def new(self) -> list[dict[str, Any]]:
        """Those that were appended since the last call; a line that isn't whole yet comes later."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
