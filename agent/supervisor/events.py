"""The agent's event log: one JSON line an event, in the state folder and on the terminal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

_LOUD = {
    "arm_lost": "red",
    "policy_lost": "yellow",
    "policy_hung": "red",
    "policy_failed": "red",
    "policy_error": "yellow",
    "recorder_lost": "yellow",
    "recorder_failed": "red",
    "process_ended": "yellow",
    "stopped": "red",
    "guard": "yellow",
    "release_refused": "yellow",
}


class EventLog:
    """Appends events.

    Args:
        path: The file.
        console: Where people read them.
    """

    def __init__(self, path: Path, console: Console) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._console = console

    def write(self, event: dict[str, Any]) -> None:
        """Take an event as it goes over the control socket: event, cause, time, data."""
        self._file.write(json.dumps(event) + "\n")
        kind = event["event"]
        clock = time.strftime("%H:%M:%S", time.localtime(event["time"]))
        data = "  ".join(f"{k}={_short(v)}" for k, v in event.get("data", {}).items())
        self._console.print(
            f"{clock} {kind:16} {event['cause']}  {data}",
            style=_LOUD.get(kind),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def close(self) -> None:
        self._file.close()


def _short(value: Any) -> str:
    text = str(value)
    if text.startswith("sha256:"):
        return text[7:19]
    return text if len(text) <= 60 else text[:57] + "…"
