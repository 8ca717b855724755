"""Flags of ``armada demo``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass

from robots.errors import ConfigError


@dataclass(kw_only=True)
class DemoConfig:
    """The whole path on emulated arms, or on the episodes of a data set."""

    # A LeRobot data set to split between the robots by episodes; empty: emulated arms record.
    dataset: str = ""
    # Where everything goes; made anew.
    out: str = "out/demo"
    robots: int = 2
    # Control rate of the emulated arms, Hz (a data set has its own).
    fps: int = 20
    # Episodes that each emulated arm records, and their length.
    episodes: int = 5
    episode_time_s: float = 6.0
    # Training in the federated round.
    steps: int = 200
    batch_size: int = 8
    # Seconds that the arms run the release before the demonstration ends.
    run_time_s: float = 15.0

    def __post_init__(self) -> None:
        for name in ("robots", "episodes", "steps", "batch_size"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError("must be at least 1", field=f"--{name}", value=value)
        for name in ("episode_time_s", "run_time_s"):
            value = getattr(self, name)
            if value <= 0:
                raise ConfigError("must be positive", field=f"--{name}", value=value)
