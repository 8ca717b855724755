"""The agent's event log: one JSON line an event, in the state folder and on the terminal."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

_LOUD = {
    "arm_lost": "red",
    "control_hung": "red",
    "let_go": "yellow",
    "not_let_go": "red",
    "stop_not_kept": "red",
    "policy_lost": "yellow",
    "policy_hung": "red",
    "policy_failed": "red",
    "policy_error": "yellow",
    "recorder_lost": "yellow",
    "recorder_failed": "red",
    "recorder_full": "red",
    "recorder_quota": "yellow",
    "process_ended": "yellow",
    "stopped": "red",
    "guard": "yellow",
    "release_refused": "yellow",
}


class EventLog:
    """Appends events. A disk that takes none is said once, and ends nothing.

    Args:
        path: The file.
        console: Where people read them.
    """

    def __init__(self, path: Path, console: Console) -> None:
        self._file = path.open("ab", buffering=0)
        self._console = console
        self._failing = False
        self._torn = False

    def write(self, event: dict[str, Any]) -> None:
        """Take an event as it goes over the control socket: event, cause, time, data."""
        self._append(json.dumps(event).encode() + b"\n")
        kind = event["event"]
        clock = time.strftime("%H:%M:%S", time.localtime(event["time"]))
        data = "  ".join(f"{k}={_short(v)}" for k, v in event.get("data", {}).items())
        self._say(f"{clock} {kind:16} {event['cause']}  {data}", _LOUD.get(kind))

    def close(self) -> None:
        self._file.close()

    def _append(self, line: bytes) -> None:
        try:
            written = self._file.write(b"\n" + line if self._torn else line)
        except OSError as error:
            if not self._failing:
                self._say(f"the event log can't be written: {error.strerror}", "red")
            self._failing = True
        else:
            self._failing = False
            self._torn = written != len(line) + self._torn

    def _say(self, text: str, style: str | None) -> None:
        # What takes the output may be a full disk as well.
        with contextlib.suppress(OSError):
            self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _short(value: Any) -> str:
    text = str(value)
    if text.startswith("sha256:"):
        return text[7:19]
    return text if len(text) <= 60 else text[:57] + "…"
