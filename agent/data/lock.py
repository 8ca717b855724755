"""Who may look at a data set while a recorder adds to it.

LeRobot's reader globs for parquet files and a file without its footer makes it fail, so for the
fraction of a second in which an episode is put in place the recorder holds the lock alone. The lock
file lies beside the folder, not in it: a data set stays a plain LeRobot folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from robots.errors import DataError


@contextlib.contextmanager
def reading(root: Path) -> Iterator[None]:
    """Keep recorders from changing ``root`` meanwhile; a read-only place needs no lock."""
    try:
        descriptor = _open(root, "lock")
    except OSError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Keep readers away from ``root`` for the moment of a change."""
    descriptor = _open(root, "lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def recording(root: Path) -> Iterator[None]:
    """Be the only recorder of ``root``, for as long as it records.

    Raises:
        DataError: another recorder has it.
    """
    descriptor = _open(root, "recorder")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DataError(
            "another recorder writes to this data set",
            field="--dataset.root",
            value=root,
            remedy="Stop that one or name another folder",
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _open(root: Path, kind: str) -> int:
    path = root.parent / f".{root.name}.{kind}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
