"""What an operator asks of a run of federated rounds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from agent.training.config import TrainConfig
from robots.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RoundSpec:
    """A run of one or more rounds.

    Args:
        rounds: How many, one after the other; each makes a release.
        min_robots: Fewest robots that must be there, and fewest replies that are averaged.
        wait_s: Longest wait for them to be there, in seconds.
        timeout_s: Longest wait for the replies of a round, in seconds.
        evaluate: Whether the robots measure the average before it is released.
        train: What each robot does.

    Raises:
        ConfigError: a value beyond its bounds.
    """

    rounds: int = 1
    min_robots: int = 1
    wait_s: float = 60.0
    timeout_s: float = 3600.0
    evaluate: bool = False
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("rounds", 1, 1000),
            ("min_robots", 1, 10_000),
            ("wait_s", 0, 86_400),
            ("timeout_s", 1, 604_800),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"must be from {low} to {high}", field=f"--{name}", value=value)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RoundSpec:
        return cls(**{**values, "train": TrainConfig(**values["train"])})
