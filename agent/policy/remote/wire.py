"""What both ends of a policy server's connection must agree on, beside ``policy.proto``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PROTOCOL = 1
"""Goes up when an old end would misunderstand a new one."""

AUTHORIZATION = "authorization"
"""Metadata: ``Bearer <token>``."""

RETRY_AFTER = "retry-after-ms"
"""Trailing metadata of RESOURCE_EXHAUSTED."""

MAX_MESSAGE_B = 8 * 1024 * 1024
"""An observation of four cameras of 1024×1024 that no policy wants smaller, as JPEG of pure noise
in quality 95, with the longest plan."""

MOST_ACTIONS = 10_000
"""In a chunk or a plan: minutes."""

LONGEST_S = 600.0
"""That a question waits at most, whatever its deadline: as long as a session is remembered."""

_FLOAT = np.dtype("<f4")


def pack(numbers: NDArray[np.float32]) -> bytes:
    """Little-endian float32, row by row."""
    return np.ascontiguousarray(numbers, _FLOAT).tobytes()


def unpack(data: bytes, width: int) -> NDArray[np.float32]:
    """(n, width) out of what ``pack`` made.

    Raises:
        ValueError: no whole number of rows.
    """
    row = width * _FLOAT.itemsize
    if row == 0 or len(data) % row:
        raise ValueError(f"{len(data)} bytes are no rows of {width} float32")
    return np.frombuffer(data, _FLOAT).reshape(-1, width).astype(np.float32)
