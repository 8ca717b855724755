"""The rows of a data set's episodes, straight from their files: LeRobot is not asked, which trusts
them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from agent.recorder.marks import FAULT, PICTURE_QUALITY
from robots.replay.info import EpisodeInfo

EPISODE, FRAME, INDEX, TIME = "episode_index", "frame_index", "index", "timestamp"
STATE, ACTION = "observation.state", "action"


@dataclass(frozen=True)
class Rows:
    """Of one episode, in the file's order.

    Args:
        table: All columns.
    """

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def frame_index(self) -> NDArray[np.int64]:
        return np.asarray(self.table[FRAME].to_numpy(), np.int64)

    @property
    def time_s(self) -> NDArray[np.float64]:
        return np.asarray(self.table[TIME].to_numpy(), np.float64)

    def misfit(self, features: Mapping[str, Mapping[str, Any]]) -> str:
        """What is wrong with the columns that are judged, by ``info.json``'s features; empty:
        nothing."""
        for name in (FRAME, TIME):
            if name not in self.table.schema.names or self.table[name].null_count:
                return f"{name} is missing"
        for name in (STATE, ACTION, PICTURE_QUALITY, FAULT):
            if name not in self.table.schema.names:
                continue
            try:
                width = self.vector(name).shape[1]
            except (ValueError, TypeError, pa.ArrowException) as error:
                return f"{name} can't be read: {error}"
            claimed = math.prod(features.get(name, {}).get("shape", (0,)))
            if len(self) and width != claimed:
                return f"{name} has {width} numbers, meta/info.json says {claimed}"
        return ""

    def vector(self, name: str) -> NDArray[np.float32]:
        """(N, D) of a feature of numbers; (N, 0) where there is none, or no row.

        Raises:
            ValueError, TypeError, pa.ArrowException: it is none (``misfit``).
        """
        if name not in self.table.schema.names or not len(self):
            return np.zeros((len(self), 0), np.float32)
        column = self.table[name].combine_chunks()
        if pa.types.is_nested(column.type):
            # LeRobot keeps a feature of one number as that number.
            if len(pc.unique(pc.list_value_length(column))) != 1:
                raise ValueError("has rows of several lengths")
            column = column.flatten()
        flat = np.asarray(column.to_numpy(zero_copy_only=False), np.float32)
        return flat.reshape(len(self), -1)

    @property
    def fault(self) -> NDArray[np.bool_]:
        """(N,) whether a row is not to be learned from; empty where nobody said."""
        return self.vector(FAULT).reshape(-1) > 0

    def without_faults(self) -> Rows:
        """Those that may be learned from."""
        fault = self.fault
        return Rows(self.table.filter(pa.array(~fault))) if fault.any() else self

    def first(self) -> Rows:
        """Each frame index once: its first row."""
        _, at = np.unique(self.frame_index, return_index=True)
        return Rows(self.table.take(pa.array(np.sort(at))))

    def copies(self) -> NDArray[np.bool_]:
        """(N,) whether a row has what the first row of its frame index has, but for its number in
        the data set."""
        numbers, first = np.unique(self.frame_index, return_index=True)
        of = first[np.searchsorted(numbers, self.frame_index)]
        recorded = self.table.drop_columns([c for c in (INDEX,) if c in self.table.schema.names])
        rows = recorded.to_pylist()
        return np.array([_equal(rows[i], rows[int(j)]) for i, j in enumerate(of)])


def _equal(a: dict[str, object], b: dict[str, object]) -> bool:
    # Text, for a NaN equals nothing, itself included.
    return a is b or repr(a) == repr(b)


def read_rows(episode: EpisodeInfo, cache: dict[Path, pa.Table]) -> Rows:
    """One episode's rows.

    Args:
        episode: Which.
        cache: Files that were read before; only the newest stays.

    Raises:
        OSError, pa.ArrowInvalid: the file is missing or damaged.
    """
    if episode.data not in cache:
        cache.clear()
        cache[episode.data] = pq.read_table(episode.data)
    table = cache[episode.data]
    return Rows(table.filter(pc.equal(table[EPISODE], episode.index)))
