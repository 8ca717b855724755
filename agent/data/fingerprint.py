"""What an episode is known by when its number changes.

Numbers shift when episodes are deleted, and a data set is copied, pushed and pulled. What was
recorded in an episode stays the same through all of it: its rows but for what numbers them, and
but for its success, which may be said when it is long over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agent.recorder.marks import SUCCESS
from robots.errors import DataError
from robots.replay.info import DatasetInfo, EpisodeInfo

EPISODE = "episode_index"
_APART = (EPISODE, "index", "task_index", SUCCESS)
"""Columns that say where an episode stands in its data set, not what happened in it, and what the
operator may say of it afterwards."""


def fingerprints(info: DatasetInfo, episodes: Collection[int] | None = None) -> dict[int, str]:
    """Digests of episodes by their numbers.

    Two episodes with the same digest hold the same states, actions and times. Pictures aren't
    looked at: two recordings whose joints agree in every bit are of an arm that stood still.

    Args:
        info: The data set's metadata.
        episodes: Which; ``None``: all.

    Raises:
        DataError: a data file can't be read.
    """
    wanted = [e for e in info.episodes if episodes is None or e.index in episodes]
    digests: dict[int, str] = {}
    for path in sorted({episode.data for episode in wanted}):
        table = _read(path)
        for episode in wanted:
            if episode.data == path:
                digests[episode.index] = _digest(table, episode)
    return digests


def _read(path: Path) -> pa.Table:
    try:
        schema = pq.read_schema(path)
        return pq.read_table(
            path, columns=[f.name for f in schema if f.name == EPISODE or _recorded(f)]
        )
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"a data file can't be read: {' '.join(str(error).split())[:200]}",
            field="dataset",
            value=path,
        ) from error


def _recorded(field: pa.Field) -> bool:
    kind = field.type
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    return number and field.name not in _APART


def _digest(table: pa.Table, episode: EpisodeInfo) -> str:
    rows = table.filter(pc.equal(table[EPISODE], episode.index))
    hashed = hashlib.sha256()
    for name in sorted(rows.schema.names):
        if name in _APART:
            continue
        column = rows[name].combine_chunks()
        if isinstance(column, pa.ListArray | pa.FixedSizeListArray):
            column = column.flatten()
        values = np.ascontiguousarray(column.to_numpy(zero_copy_only=False))
        hashed.update(f"{name} {values.dtype.str} {len(rows)}\n".encode())
        hashed.update(values.tobytes())
    return hashed.hexdigest()[:32]
