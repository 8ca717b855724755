"""What an emulated arm was told to do, and when: one record for each instruction that writes goals.

The place to measure a control loop from: whatever its own clock says, this is what reached the bus.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_RECORD = struct.Struct("<7d")


class GoalJournal:
    """Appends to a file, unbuffered: a reader sees what has been told so far.

    Args:
        path: The file to make.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def note(self, goals: Sequence[int]) -> None:
        """(6,) the goals that hold now, in ticks of the servos."""
        self._file.write(_RECORD.pack(time.monotonic(), *goals))

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When goals were written, ``time.monotonic`` of this machine (N,), and which, in ticks
    (N, 6)."""
    data = path.read_bytes()
    whole = len(data) // _RECORD.size * _RECORD.size
    records = np.frombuffer(data[:whole], "<f8").reshape(-1, 7)
    return records[:, 0], records[:, 1:]
