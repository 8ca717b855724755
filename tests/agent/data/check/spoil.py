"""Ways to spoil a copy of a recording."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FPS = 20


def rewrite_rows(root: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    for path in (root / "data").glob("*/*.parquet"):
        pq.write_table(change(pq.read_table(path)), path)


def rewrite_episodes(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    for path in (root / "meta" / "episodes").glob("*/*.parquet"):
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            change(row)
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def rewrite_info(root: Path, **fields: Any) -> None:
    path = root / "meta" / "info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    at = table.schema.get_field_index(name)
    field = table.schema.field(at)
    return table.set_column(at, field, pa.array(values, field.type))


def vectors(table: pa.Table, name: str) -> Any:
    return np.array(table[name].to_pylist(), np.float32)


def spoil_video(root: Path, change: Callable[[int, Any], Any], *, frames: int = 10**9) -> None:
    """Encode the video anew; ``change`` gets each picture's number and the picture."""
    (path,) = (root / "videos").rglob("*.mp4")
    before = path.with_suffix(".before.mp4")
    path.rename(before)
    with av.open(str(before)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 224, 224, "yuv420p"
        # By quality: by its default, a bit rate, a picture depends on all that came before.
        stream.options = {"crf": "20"}
        for number, frame in enumerate(source.decode(video=0)):
            if number >= frames:
                break
            picture = change(number, frame.to_ndarray(format="rgb24"))
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(stream.encode())
    before.unlink()


def double(root: Path, *, claim: bool) -> None:
    """Every episode twice, one after the other, as in LeRobot issue 1875."""

    def twice(table: pa.Table) -> pa.Table:
        parts = []
        for index in pc.unique(table["episode_index"]):
            parts += [table.filter(pc.equal(table["episode_index"], index))] * 2
        doubled = pa.concat_tables(parts)
        return with_column(doubled, "index", np.arange(doubled.num_rows))

    def claims(row: dict[str, Any]) -> None:
        for name in ("length", "dataset_from_index", "dataset_to_index"):
            row[name] *= 2

    rewrite_rows(root, twice)
    if claim:
        rewrite_episodes(root, claims)
        rewrite_info(root, total_frames=2 * 797)
