"""The same numbers of all robots, in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from server.aggregation.columns import columns
from server.aggregation.weigh import Share
from tests.server.aggregation.conftest import SHAPES, Store, noise


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("block_bytes", [1, 5 * 4 * 4, 10**6])
def test_blocks_put_together_are_the_changes(
    name: str, block_bytes: int, store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    changes = [noise(i, 0.1) for i in range(5)]
    shares = [Share(store(f"robot{i}", c), 0.5, 1.0) for i, c in enumerate(changes)]
    whole = np.full((5, start[name].numel()), np.nan, dtype=np.float32)
    for part, block in columns(shares, name, start, tmp_path, block_bytes):
        assert block.nbytes <= max(block_bytes, 4 * 5)
        whole[:, part] = block
    expected = np.stack([0.5 * c[name].reshape(-1).numpy() for c in changes])
    assert np.abs(whole - expected).max() < 1e-6
    assert [p.name for p in tmp_path.iterdir()] == ["updates"]
