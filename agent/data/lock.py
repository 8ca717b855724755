"""Who may look at a data set while a recorder adds to it.

LeRobot's reader globs for parquet files and a file without its footer makes it fail, so for the
fraction of a second in which an episode is put in place the recorder holds the lock alone. The lock
file lies beside the folder, not in it: a data set stays a plain LeRobot folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from robots.errors import DataError


@contextlib.contextmanager
def reading(root: Path) -> Iterator[None]:
    """Keep recorders from changing ``root`` meanwhile; a read-only place needs no lock."""
    try:
        descriptor = _open(root, "lock")
    except OSError:
        # Another user's: to read is enough to share a lock.
        try:
            descriptor = os.open(_path(root, "lock"), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            yield
            return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(root: Path, *, patience_s: float | None = None) -> Iterator[None]:
    """Keep readers away from ``root`` for the moment of a change.

    Args:
        root: The data set.
        patience_s: How long to wait for readers, s; after that the change is made without the
            lock, which only a change that every reader survives may ask for.
    """
    descriptor = _open(root, "lock")
    try:
        if patience_s is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _try(descriptor, patience_s)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def rewriting(root: Path, *, patience_s: float) -> Iterator[None]:
    """Keep readers away from ``root`` for a change that none of them survives.

    Args:
        root: The data set.
        patience_s: How long to wait for readers, s.

    Raises:
        DataError: somebody still reads it.
    """
    descriptor = _open(root, "lock")
    try:
        if not _try(descriptor, patience_s):
            raise DataError("is being read", field="dataset", value=root, remedy="Try again later")
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


@contextlib.contextmanager
def recording(root: Path) -> Iterator[None]:
    """Be the only recorder of ``root``, for as long as it records.

    Raises:
        DataError: another recorder has it. LeRobot's own takes no lock: see ``recorder/repair.py``.
    """
    refused = DataError(
        "another recorder writes to this data set",
        field="--dataset.root",
        value=root,
        remedy="Stop that one or name another folder",
    )
    with _alone(root, "recorder", refused):
        yield


@contextlib.contextmanager
def pushing(root: Path) -> Iterator[None]:
    """Be the only one who sends ``root`` to the hub.

    Raises:
        DataError: somebody else does.
    """
    with _alone(root, "pushing", DataError("is being pushed", field="dataset", value=root)):
        yield


@contextlib.contextmanager
def _alone(root: Path, kind: str, refused: DataError) -> Iterator[None]:
    descriptor = _open(root, kind)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise refused from error
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def noting(root: Path) -> Iterator[None]:
    """Be the only one who changes what is remembered of ``root``; takes milliseconds."""
    descriptor = _open(root, "used")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _path(root: Path, kind: str) -> Path:
    # Whoever comes by a symbolic link must find the same lock.
    root = root.resolve()
    return root.parent / f".{root.name}.{kind}"


def _open(root: Path, kind: str) -> int:
    path = _path(root, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
