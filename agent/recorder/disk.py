"""Whether there is room on the disk: recording ends before it takes what others need."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

GB = 1e9
_CHECK_EVERY_S = 1.0

_MORE_B = 0.1 * GB
"""Recording goes on when there is so much more than the least, or it would go on and off."""


class Disk:
    """Looks once a second.

    Args:
        folder: On the disk; need not exist.
        min_free_gb: Less than this is *full*; 0: never.
    """

    def __init__(self, folder: Path, min_free_gb: float) -> None:
        self._folder = folder
        self._least_b = min_free_gb * GB
        self._look_at = 0.0
        self.full = False

    def look(self) -> None:
        """Bring ``full`` up to date."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _CHECK_EVERY_S
            self.full = self.free_b < self._least_b + (_MORE_B if self.full else 0.0)

    @property
    def free_b(self) -> int:
        """Bytes that are free for this user."""
        folder = self._folder
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free
