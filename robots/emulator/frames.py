"""Pictures from the renderer to the camera: one memory-mapped file with room for two.

The renderer writes into one place while the other holds the newest whole picture, then counts up; a
reader whose place was written to meanwhile sees that from the count and reads again.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEADER = 64
_COUNT = struct.Struct("<Q")
_TIME = struct.Struct("<d")
_TRIES = 100


@dataclass(frozen=True)
class Frame:
    """A picture.

    Args:
        number: 1 for the first.
        time_s: When its scene was looked at, ``time.perf_counter`` of this machine.
        image: uint8 (H, W, 3), RGB.
    """

    number: int
    time_s: float
    image: NDArray[np.uint8]


class FrameFile:
    """The file, open for one side.

    Args:
        path: The file.
        height: Pixels.
        width: Pixels.
        create: The camera makes it, since it also removes it; the renderer opens it.
    """

    def __init__(self, path: Path, height: int, width: int, *, create: bool = False) -> None:
        self._shape = (height, width, 3)
        self._bytes = height * width * 3
        size = _HEADER + 2 * self._bytes
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)
        try:
            if create:
                os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)

    @property
    def number(self) -> int:
        """Of the newest picture; 0: there is none yet."""
        return int(_COUNT.unpack_from(self._map, 0)[0])

    def time_s(self) -> float:
        """Of the newest picture."""
        return float(_TIME.unpack_from(self._map, 8 + 8 * (self.number % 2))[0])

    def write(self, image: NDArray[np.uint8], time_s: float) -> None:
        number = self.number + 1
        place = number % 2
        self._pixels(place)[:] = image
        _TIME.pack_into(self._map, 8 + 8 * place, time_s)
        _COUNT.pack_into(self._map, 0, number)

    def read(self) -> Frame | None:
        """A copy of the newest picture; None: there is none yet."""
        for _ in range(_TRIES):
            number = self.number
            if not number:
                return None
            place = number % 2
            image = self._pixels(place).copy()
            time_s = float(_TIME.unpack_from(self._map, 8 + 8 * place)[0])
            # The next one goes to the other place; ours is safe until that one is whole.
            if self.number == number:
                return Frame(number, time_s, image)
        return None

    def close(self) -> None:
        self._map.close()

    def _pixels(self, place: int) -> NDArray[np.uint8]:
        start = _HEADER + place * self._bytes
        flat = np.frombuffer(self._map, np.uint8, self._bytes, start)
        return flat.reshape(self._shape)
