"""The same few numbers of all robots at once, for statistics that need to see them together."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from server.aggregation.weigh import Share

BLOCK_BYTES = 32 * 2**20
"""Most that a block takes; what is computed from it takes a few times as much."""


def columns(
    shares: Sequence[Share],
    name: str,
    start: Mapping[str, Tensor],
    scratch: Path,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Blocks of one tensor's changes, flattened: which part, and shape (robots, part).

    An update is decoded once, a whole tensor at a time. If all robots' together don't fit into a
    block they lie in a nameless file in ``scratch`` meanwhile: 4 bytes a robot and a number of this
    one tensor. Memory stays at one block, however many robots there are.
    """
    size = start[name].numel()
    width = max(1, block_bytes // (4 * len(shares)))
    rows = (_row(share, name, start) for share in shares)
    if size <= width:
        yield slice(0, size), np.stack(list(rows))
        return
    with tempfile.TemporaryFile(dir=scratch) as file:
        for row in rows:
            file.write(row.data)
        file.flush()
        for first in range(0, size, width):
            part = min(width, size - first)
            block = np.empty((len(shares), part), dtype=np.float32)
            for index in range(len(shares)):
                file.seek(4 * (index * size + first))
                file.readinto(block[index].data)
            yield slice(first, first + part), block


def _row(share: Share, name: str, start: Mapping[str, Tensor]) -> npt.NDArray[np.float32]:
    change = share.update.delta(name, start, share.scale)
    row: npt.NDArray[np.float32] = change.contiguous().reshape(-1).numpy()
    return row
