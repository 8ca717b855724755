"""The stop that outlives control, the supervisor and the host: only the operator clears it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from agent.policy import atomic

STOPPED = "ARMADA_STOPPED"
"""Environment variable of a control process whose stop is on no disk."""

_AGAIN_S = 10.0


class Latch:
    """Keeps why the arm is stopped in a file, or in memory while the disk takes none.

    Args:
        path: The file.
        emit: Where is said that it isn't there.
    """

    def __init__(self, path: Path, emit: Callable[..., None]) -> None:
        self._path = path
        self._emit = emit
        self._again_at = 0.0
        self.unkept: str | None = None

    def keep(self, reason: str) -> None:
        """Take a stop; a kept one stays as it is."""
        if self.unkept is None and not self._kept() and not self._write(reason):
            self._emit("stop_not_kept", "the disk takes no stop: it won't outlive this agent")

    def drop(self) -> None:
        """The operator cleared it."""
        self.unkept = None
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._emit("stop_kept", f"{self._path} can't be removed: {error.strerror}")

    def retry(self) -> None:
        """Write what couldn't be written; call it often."""
        if self.unkept is not None and time.monotonic() > self._again_at:
            self._write(self.unkept)

    def _kept(self) -> bool:
        try:
            return self._path.exists()
        except OSError:
            return False

    def _write(self, reason: str) -> bool:
        try:
            atomic.write_text(self._path, reason)
        except OSError:
            self.unkept = reason
            self._again_at = time.monotonic() + _AGAIN_S
            return False
        self.unkept = None
        return True
