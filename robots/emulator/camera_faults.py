"""What is wrong with the cameras of an emulated arm: a small file that each of them looks at."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

FAULTS = ("ok", "stall", "freeze", "black", "unplug")
NAME = "camera_faults.json"
_LOOK_EVERY_S = 0.05


def write_faults(folder: Path, faults: Mapping[str, str]) -> None:
    """View (or ``*``) → fault; replaces what was there in one step."""
    fresh = folder / f"{NAME}.new"
    fresh.write_text(json.dumps(dict(faults)))
    fresh.replace(folder / NAME)


class CameraFaults:
    """A camera's look at the file.

    Args:
        folder: The emulated arm's.
        view: Which camera asks.
    """

    def __init__(self, folder: Path, view: str) -> None:
        self._path = folder / NAME
        self._view = view
        self._looked = -1.0
        self._fault = "ok"

    def now(self) -> str:
        """The fault of this moment."""
        if time.monotonic() - self._looked >= _LOOK_EVERY_S:
            self._looked = time.monotonic()
            try:
                faults = json.loads(self._path.read_text())
                self._fault = faults.get(self._view, faults.get("*", "ok"))
            except FileNotFoundError:
                self._fault = "ok"
        return self._fault
