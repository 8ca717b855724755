"""A few numbers that one process writes and others read, in a memory-mapped file, without a lock.

A sequence number that is odd while a write is going on makes a reader that met a write read again.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Any

from robots.errors import DeviceError

_SEQUENCE = struct.Struct("<Q")
_SIZE = 4096
_TRIES = 1000


class SeqlockFile:
    """The file, open for one side.

    Args:
        path: The file.
        body: What is in it.
        create: The one writer makes it; everybody else opens it.

    Raises:
        OSError: it doesn't exist, or can't be made.
    """

    def __init__(self, path: Path, body: struct.Struct, *, create: bool = False) -> None:
        self._path = path
        self._body = body
        # Never cut short: a reader of a mapped file that shrinks is killed (SIGBUS).
        flags = os.O_RDWR | (os.O_CREAT if create else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if create:
                os.ftruncate(descriptor, _SIZE)
            elif os.fstat(descriptor).st_size < _SIZE:
                raise FileNotFoundError(f"{path} is being made")
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        # A writer before this one may have died in the middle of a write.
        self._sequence = _SEQUENCE.unpack_from(self._map, 0)[0] & ~1

    def write(self, *values: Any) -> None:
        _SEQUENCE.pack_into(self._map, 0, self._sequence + 1)
        self._body.pack_into(self._map, 8, *values)
        self._sequence += 2
        _SEQUENCE.pack_into(self._map, 0, self._sequence)

    def read(self) -> tuple[Any, ...]:
        """The newest values.

        Raises:
            DeviceError: no consistent ones were to be had: the writer died while it wrote.
        """
        for _ in range(_TRIES):
            before = _SEQUENCE.unpack_from(self._map, 0)[0]
            values = self._body.unpack_from(self._map, 8)
            if before % 2 == 0 and before == _SEQUENCE.unpack_from(self._map, 0)[0]:
                return values
            time.sleep(0)
        raise DeviceError(
            "the emulated arm stopped in the middle of a write", field=self._path.name
        )

    def close(self) -> None:
        self._map.close()
