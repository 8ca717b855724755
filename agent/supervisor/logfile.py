"""A child's log, kept short while the child writes it.

The child has the file open and would go on in it under any other name. So what is in it is copied
away and the file is emptied: opened for appending, it is written from its beginning then. Lines
that come between the two are lost.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

MOST_BYTES = 20_000_000
"""A day of a busy SuperLink has five times as many."""

EVERY_S = 10.0
"""Between two looks at a file that grows."""


def open_log(path: Path) -> BinaryIO:
    """For a child's stdout and stderr; what takes nothing at all when the disk takes no file."""
    shorten(path)
    try:
        return path.open("ab")
    except OSError:
        # A disk that is full or broken: it runs without.
        return Path(os.devnull).open("ab")


def shorten(path: Path) -> None:
    """Move all that a log has, or the end of very much, to ``<name>.1`` when it is too long."""
    try:
        if path.stat().st_size > MOST_BYTES:
            _shorten(path)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning("%s can't be shortened: %s", path, error)


def _shorten(path: Path) -> None:
    with path.open("rb") as log:
        # Some have the log of another process's children, which looks at it as well.
        fcntl.flock(log, fcntl.LOCK_EX)
        size = os.fstat(log.fileno()).st_size
        if size <= MOST_BYTES:
            return
        try:
            with path.with_name(f"{path.name}.1").open("wb") as kept:
                log.seek(max(0, size - 2 * MOST_BYTES))
                shutil.copyfileobj(log, kept)
        finally:
            # Kept or not: a full disk has its room back.
            os.truncate(path, 0)
