"""Whether an emulated arm has done its task: what its world says, which no camera has to find."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from robots.emulator.scene_file import SceneFile
from robots.emulator.world import HIT_TICKS, WorldFile


class Judge(Protocol):
    """Looks at a world."""

    def success(self) -> bool:
        """Whether it is done at this moment.

        Raises:
            DeviceError: the emulator is gone.
        """

    def close(self) -> None:
        """Look no longer."""


class ReachJudge:
    """Every joint is at the goal.

    Args:
        folder: The emulated arm's.
    """

    def __init__(self, folder: Path) -> None:
        self._world = WorldFile(folder / "world")

    def success(self) -> bool:
        world = self._world.read()
        return bool(np.all(np.abs(world.position - world.goal) <= HIT_TICKS))

    def close(self) -> None:
        self._world.close()


class LiftJudge:
    """The cube is up.

    Args:
        folder: The emulated arm's.
    """

    def __init__(self, folder: Path) -> None:
        self._scene = SceneFile(folder)

    def success(self) -> bool:
        return self._scene.read().lifted

    def close(self) -> None:
        self._scene.close()


def make_judge(folder: Path, plant: str) -> Judge:
    """The judge of a plant.

    Raises:
        DeviceError: the emulated arm isn't there.
    """
    return LiftJudge(folder) if plant == "mujoco" else ReachJudge(folder)
