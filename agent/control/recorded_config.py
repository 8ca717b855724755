"""``--recorded.…``: a recording's actions as what drives the arm.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass, field

from robots.errors import ConfigError


@dataclass(kw_only=True)
class RecordedConfig:
    """Which; `armada replay DATASET --episode=3 --robot.type=…` sets it."""

    # Folder of a LeRobot data set (v3.0), or a hub id that is on this machine; empty: none.
    dataset: str = ""
    # Episodes whose actions are sent, one after another.
    episodes: list[int] = field(default_factory=list)
    # 1: at the recorded rate, 0.5: half as fast.
    speed: float = 1.0

    def __post_init__(self) -> None:
        if self.dataset and not self.episodes:
            raise ConfigError(
                "name those that are to be sent",
                field="--recorded.episodes",
                remedy="--recorded.episodes='[3]', or `armada replay DATASET --episode=3`",
            )
        if self.speed <= 0:
            raise ConfigError("must be positive", field="--recorded.speed", value=self.speed)
