"""Flags of ``armada record``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass
from pathlib import Path

from agent.paths import StateDir
from robots.errors import ConfigError


@dataclass(kw_only=True)
class AgentConfig:
    """Which agent on this host."""

    # Name of the robot, as --name or --robot.id of `armada run`.
    name: str = "robot"
    # Its state folder, when it was given one.
    state_dir: str = ""

    @property
    def state(self) -> StateDir:
        return StateDir(Path(self.state_dir)) if self.state_dir else StateDir.default(self.name)


@dataclass(kw_only=True)
class StartConfig(AgentConfig):
    """How much."""

    # Episodes, where they are counted (--dataset.trigger=schedule or success).
    episodes: int = 1

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ConfigError("must be at least 1", field="--episodes", value=self.episodes)


@dataclass(kw_only=True)
class SaveLastConfig(AgentConfig):
    """How much."""

    # Seconds; 0: all that is kept (--dataset.pre_trigger_s).
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.seconds < 0:
            raise ConfigError("can't be negative", field="--seconds", value=self.seconds)
