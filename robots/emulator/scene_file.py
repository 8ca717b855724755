"""What lies on the MuJoCo arm's table, for the renderer, the expert and whoever counts successes.

``<folder>/scene``, written only by the plant.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robots.emulator.seqlock import SeqlockFile
from robots.errors import DeviceError

QPOS: int = 13
"""Six joints, and the cube's position and quaternion."""

STALE_S = 2.0
"""A plant that wrote nothing for so long is gone: it writes 250 times a second."""

_BODY = struct.Struct(f"<{QPOS}dQQQ?d")


@dataclass(frozen=True)
class Scene:
    """A moment of it.

    Args:
        qpos: (13,) MuJoCo's: joints in rad, cube in m and quaternion w, x, y, z.
        steps: Steps of physics since the plant began.
        resets: How often the cube was put at a new start.
        successes: How many lifts succeeded.
        lifted: Whether the cube is up at this moment.
        time_s: The plant's monotonic clock, s.
    """

    qpos: NDArray[np.float64]
    steps: int
    resets: int
    successes: int
    lifted: bool
    time_s: float

    @property
    def joints(self) -> NDArray[np.float64]:
        """(6,) rad."""
        return self.qpos[:6]

    @property
    def cube(self) -> NDArray[np.float64]:
        """(7,) position in m, and quaternion."""
        return self.qpos[6:]


class SceneFile:
    """The file, open for one side.

    Args:
        folder: The emulated arm's.
        create: The plant makes it; everybody else opens it.

    Raises:
        DeviceError: it doesn't exist, or its plant is gone: no MuJoCo arm is there.
    """

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        self.path = folder / "scene"
        try:
            self._file = SeqlockFile(self.path, _BODY, create=create)
        except OSError as error:
            raise self._absent() from error
        if not create and time.monotonic() - self.read().time_s > STALE_S:
            self.close()
            raise self._absent()

    def write(self, scene: Scene) -> None:
        counts = (scene.steps, scene.resets, scene.successes, scene.lifted, scene.time_s)
        self._file.write(*scene.qpos, *counts)

    def read(self) -> Scene:
        """The newest moment.

        Raises:
            DeviceError: no consistent one was to be had: the plant died while it wrote.
        """
        values = self._file.read()
        return Scene(np.array(values[:QPOS]), *values[QPOS:])

    def close(self) -> None:
        self._file.close()

    def _absent(self) -> DeviceError:
        return DeviceError(
            "there is no such MuJoCo arm",
            field="scene",
            value=self.path,
            remedy="Start the robot (so101_sim with --robot.plant=mujoco) of that id first",
        )
