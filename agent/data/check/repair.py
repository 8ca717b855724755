"""A mended copy of a data set: rows that are there more than once are there once, and statistics
are those of the rows. Videos are copied as they are; the original is not touched.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from lerobot.datasets.compute_stats import aggregate_stats, compute_episode_stats
from lerobot.datasets.io_utils import write_stats

from agent.data.check.finding import Verdict
from agent.data.check.gate import DatasetReport
from agent.data.check.rows import EPISODE, INDEX, Rows
from agent.data.lock import reading
from robots.errors import DataError
from robots.replay.info import read_claims

_STATS = "stats/"


def repair(report: DatasetReport, out: Path) -> None:
    """Write the mended copy; ``out`` is there when it is complete, or not at all.

    Args:
        report: Of the data set, from ``check_dataset``.
        out: The folder to make.

    Raises:
        DataError: something can't be mended, or ``out`` exists.
    """
    root = report.info.root
    if out.exists():
        raise DataError("exists already", field="--repair", value=out, remedy="Name another folder")
    if report.verdict is Verdict.REJECTED:
        bad = [e.index for e in report.episodes if e.verdict is Verdict.REJECTED]
        raise DataError(
            f"can't be mended: episodes {bad or 'all'} are rejected",
            field="dataset",
            value=root,
            remedy=f"Delete them first: armada data delete {root} --rejected=true",
        )
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with reading(root):
            if len(read_claims(root)[0].episodes) != len(report.episodes):
                raise DataError(
                    "has other episodes than when it was checked",
                    field="dataset",
                    value=root,
                    remedy="Check it again",
                )
            shutil.copytree(root, partial)
        _mend(report, partial)
        partial.rename(out)
    except OSError as error:
        raise DataError(f"can't be written: {error}", field="--repair", value=out) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _mend(report: DatasetReport, root: Path) -> None:
    episodes = _Episodes(root)
    begin = 0
    for path in sorted((root / "data").glob("*/*.parquet")):
        table = pq.read_table(path)
        kept = []
        for index in pc.unique(table[EPISODE]).to_pylist():
            rows = Rows(table.filter(pc.equal(table[EPISODE], index))).first().table
            rows = _numbered(rows, begin)
            episodes.note(index, begin, rows, report.info.features)
            kept.append(rows)
            begin += rows.num_rows
        # A row group an episode, as LeRobot reads fastest.
        with pq.ParquetWriter(path, table.schema) as writer:
            for rows in kept:
                writer.write_table(rows)
    episodes.write(begin)


def _numbered(rows: pa.Table, begin: int) -> pa.Table:
    at = rows.schema.get_field_index(INDEX)
    numbers = pa.array(np.arange(begin, begin + rows.num_rows), rows.schema.field(at).type)
    return rows.set_column(at, rows.schema.field(at), numbers)


class _Episodes:
    """The metadata of episodes, read whole and written anew.

    Args:
        root: The copy.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = {
            path: pq.read_table(path) for path in (root / "meta" / "episodes").glob("*/*.parquet")
        }
        self._rows = {
            row["episode_index"]: row for t in self._files.values() for row in t.to_pylist()
        }

    def note(
        self, index: int, begin: int, rows: pa.Table, features: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """What an episode has now."""
        row = self._rows[index]
        row["length"] = rows.num_rows
        row["dataset_from_index"], row["dataset_to_index"] = begin, begin + rows.num_rows
        numbers = {
            name: _column(rows[name])
            for name, feature in features.items()
            if feature["dtype"] not in ("image", "video", "string") and name in rows.schema.names
        }
        for name, stats in compute_episode_stats(numbers, dict(features)).items():
            for what, value in stats.items():
                if f"{_STATS}{name}/{what}" in row:
                    row[f"{_STATS}{name}/{what}"] = np.asarray(value).tolist()

    def write(self, frames: int) -> None:
        for path, table in self._files.items():
            rows = [self._rows[index] for index in table["episode_index"].to_pylist()]
            pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
        info_path = self._root / "meta" / "info.json"
        info = json.loads(info_path.read_text(encoding="utf-8"))
        info["total_frames"], info["total_episodes"] = frames, len(self._rows)
        info_path.write_text(json.dumps(info, indent=4), encoding="utf-8")
        write_stats(aggregate_stats([_stats(row) for row in self._rows.values()]), self._root)


def _stats(row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """An episode's statistics as LeRobot nests them."""
    nested: dict[str, dict[str, Any]] = {}
    for key, value in row.items():
        if key.startswith(_STATS) and value is not None:
            name, _, what = key.removeprefix(_STATS).rpartition("/")
            nested.setdefault(name, {})[what] = np.asarray(value)
    return nested


def _column(cells: pa.ChunkedArray) -> Any:
    values = cells.to_pylist()
    return np.asarray(values)
