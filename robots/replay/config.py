"""Configurations of the replay devices, in LeRobot's registries.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass, field

from lerobot.cameras import CameraConfig
from lerobot.robots.config import RobotConfig

from robots.errors import ConfigError


@RobotConfig.register_subclass("replay")
@dataclass(kw_only=True)
class ReplayRobotConfig(RobotConfig):  # type: ignore[misc]
    """A recorded data set as a robot: its frames are observed, its actions are compared with."""

    # Folder of a LeRobot data set (v3.0), or a hub id that is in the local cache.
    dataset: str = ""
    # Episodes to play one after another; empty: all.
    episodes: list[int] = field(default_factory=list)
    # 1: at the recorded rate, 2: twice as fast, 0: one frame for each observation.
    speed: float = 1.0
    # Begin again at the end instead of being finished.
    loop: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.dataset:
            raise ConfigError(
                "is missing", field="--robot.dataset", remedy="Name a LeRobot data set"
            )
        if self.speed < 0:
            raise ConfigError("can't be negative", field="--robot.speed", value=self.speed)


@CameraConfig.register_subclass("replay")
@dataclass(kw_only=True)
class ReplayCameraConfig(CameraConfig):  # type: ignore[misc]
    """A recorded camera, paced and looped. fps, width and height must be the recording's."""

    dataset: str = ""
    # The camera's name in the data set; empty: its only one.
    key: str = ""
    # Episodes to play; empty: all.
    episodes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.dataset:
            raise ConfigError(
                "is missing", field="--robot.cameras…dataset", remedy="Name a LeRobot data set"
            )
