"""What emulator, scene camera and scripted expert know of the same small world.

One memory-mapped file; the emulator is its only writer. A sequence number that is odd while a
write is going on (a seqlock) makes a reader that met a write read again.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robots.emulator.seqlock import SeqlockFile
from robots.errors import DeviceError

HIT_TICKS = 80
"""At the goal: every joint within 7°."""

_BODY = struct.Struct("<6d6dQQd")


@dataclass(frozen=True)
class World:
    """A moment of it.

    Args:
        position: (6,) joint positions, ticks.
        goal: (6,) the goal, ticks.
        goals: How many goals have had their time.
        hits: How many of them the arm was at when it was over.
        time_s: Emulator's monotonic clock, s.
    """

    position: NDArray[np.float64]
    goal: NDArray[np.float64]
    goals: int
    hits: int
    time_s: float


def folder(robot_id: str) -> Path:
    """Where the emulated arm of that id has its port and its world: one per user and id. In memory
    where there is a folder in memory: on a disk the physics would wait for what others write."""
    name = re.sub(r"[^\w.-]", "_", robot_id or "default")
    shm = Path("/dev/shm")
    base = shm if shm.is_dir() and os.access(shm, os.W_OK) else Path(tempfile.gettempdir())
    return base / f"armada-{os.getuid()}" / "sim" / name


class WorldFile:
    """The file, open for one side.

    Args:
        path: The file.
        create: The emulator makes it; everybody else opens it.

    Raises:
        DeviceError: it doesn't exist: the emulated arm isn't there.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        try:
            self._file = SeqlockFile(path, _BODY, create=create)
        except OSError as error:
            raise DeviceError(
                "there is no such emulated arm",
                field="world",
                value=path,
                remedy="Start the robot (so101_sim) of that id first",
            ) from error

    def write(self, world: World) -> None:
        counts = (world.goals, world.hits, world.time_s)
        self._file.write(*world.position, *world.goal, *counts)

    def read(self) -> World:
        """The newest moment.

        Raises:
            DeviceError: no consistent one was to be had: the emulator died while it wrote.
        """
        values = self._file.read()
        return World(np.array(values[:6]), np.array(values[6:12]), *values[12:])

    def close(self) -> None:
        self._file.close()
