"""A stop by a file: a button's script needs a ``touch`` and nothing that could be dead."""

from __future__ import annotations

import os
from pathlib import Path


class StopFile:
    """The arm is stopped while the file exists, and stays so until the operator clears it.

    Args:
        path: In memory by default (the folder of the control socket), so that looking at it 30
            times a second (3 µs) never waits for a disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = str(path)

    def exists(self) -> bool:
        try:
            os.stat(self._text)  # noqa: PTH116 - without an object per tick
        except FileNotFoundError:
            return False
        except OSError:
            # A folder that can't be read hides a stop: hold.
            return True
        return True
