"""What the operator says of an episode that has ended: that it is to be recorded again, or what
became of it.

Both change the data set where it lies, in steps between which plain LeRobot opens it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agent.data.delete import EPISODE, PATIENCE_S, delete_episodes
from agent.data.lock import rewriting
from agent.policy import atomic
from agent.recorder.marks import SUCCESS, read_marks, write_marks
from agent.recorder.repair import set_aside
from robots.replay.info import read_info

_OF_LEROBOT = ("meta", "data", "videos", "images")


def delete_newest(root: Path, index: int) -> None:
    """Delete the newest episode; no other one's number changes.

    Args:
        root: The data set; the caller is its recorder.
        index: The episode's number.

    Raises:
        DataError: it can't be read, or somebody is reading it.
        OSError: it can't be written. All is as it was.
    """
    if index:
        delete_episodes(root, [index])
        return
    # The only one: without it there is no data set, as before it was recorded.
    aside = root.parent / f".{root.name}.thinned"
    shutil.rmtree(aside, ignore_errors=True)
    with rewriting(root, patience_s=PATIENCE_S):
        # What else its owner put there would be taken for a data set that is cut off.
        if others := [path for path in root.iterdir() if path.name not in _OF_LEROBOT]:
            set_aside(root, others)
        root.rename(aside)
        atomic.sync(root.parent)
    shutil.rmtree(aside, ignore_errors=True)


def say_success(root: Path, index: int, *, success: bool) -> None:
    """Change what is known of an episode's success, in its last row and in its marks.

    Args:
        root, index: As :func:`delete_newest`.
        success: What became of it.

    Raises:
        DataError, OSError, pa.ArrowException: it can't be read or written.
    """
    path = read_info(root).episode(index).data
    table = pq.read_table(path)
    at = table.schema.get_field_index(SUCCESS)
    # A data set from before there were marks of frames is continued without them.
    if at >= 0:
        values = table[SUCCESS].to_pylist()
        values[np.flatnonzero(table[EPISODE].to_numpy() == index)[-1]] = success
        field = table.schema.field(at)
        table = table.set_column(at, field, pa.array(values, field.type))
        with atomic.replacing(path) as temporary:
            pq.write_table(table, temporary, compression="snappy")
    write_marks(root, index, read_marks(root, index) | {"success": success})
