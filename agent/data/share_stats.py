"""The statistics of some of a data set's episodes, put together from those of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from lerobot.datasets.compute_stats import aggregate_stats

from agent.data.lock import reading
from robots.errors import DataError

_PREFIX = "stats/"


def share_stats(root: Path, episodes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Statistics as LeRobot's processors take them, of these episodes alone.

    Whoever has a share of a data set must not have a normaliser that knows the others'.

    Args:
        root: The data set.
        episodes: Which of its episodes.

    Raises:
        DataError: it has no statistics of one of them, or they can't be read.
    """
    wanted = set(episodes)
    found: dict[int, dict[str, dict[str, Any]]] = {}
    with reading(root):
        for path in sorted((root / "meta" / "episodes").rglob("*.parquet")):
            try:
                rows = pq.read_table(path).to_pylist()
            except (OSError, ValueError) as error:
                raise DataError(f"can't be read: {error}", field="dataset", value=path) from error
            for row in rows:
                if row["episode_index"] in wanted:
                    found[row["episode_index"]] = _of_row(row)
    missing = sorted(n for n in wanted if not found.get(n))
    if missing:
        raise DataError(
            f"has no statistics of episode {missing[0]}",
            field="dataset",
            value=root,
            remedy="Give each client a data set of its own, or record it with LeRobot v3.0",
        )
    stats: dict[str, dict[str, Any]] = aggregate_stats([found[n] for n in sorted(wanted)])
    return stats


def _of_row(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    stats: dict[str, dict[str, Any]] = {}
    for column, value in row.items():
        if column.startswith(_PREFIX) and value is not None:
            feature, _, name = column.removeprefix(_PREFIX).rpartition("/")
            stats.setdefault(feature, {})[name] = np.asarray(value)
    return stats
