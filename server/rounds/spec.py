"""What an operator asks of a run of federated rounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.federation.payload.spec import ENCODINGS
from agent.training.config import TrainConfig
from robots.errors import ConfigError
from server.aggregation.config import AggregateConfig

FOLD, DROP = "fold", "drop"
LOCAL, POOLED = "local", "pooled"

_LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class RoundSpec:
    """A run of one or more rounds.

    Args:
        rounds: How many, one after the other; each makes a release.
        min_robots: Fewest robots that must be there, and fewest updates that are averaged.
        wait_s: Longest wait for them to be there, in seconds.
        timeout_s: Longest wait for the updates of a round, in seconds.
        evaluate: Whether the robots measure each release on their held-out episodes.
        train: What each robot does.
        encoding: How updates travel, one of ``ENCODINGS``.
        fraction: Share of the robots that are asked, drawn by seed.
        min_new_episodes: Fewest episodes that a robot has not trained on before.
        late: Whether updates that come after their round are folded into a later one or dropped.
        normaliser: ``local``, or ``pooled``: statistics over all robots that take part.
        aggregation: How updates become one.
        queue: Whether to wait until the round that runs is over.
        by: Who asks: a name, or the schedule's.

    Raises:
        ConfigError: a value beyond its bounds.
    """

    rounds: int = 1
    min_robots: int = 1
    wait_s: float = 60.0
    timeout_s: float = 3600.0
    evaluate: bool = False
    train: TrainConfig = field(default_factory=TrainConfig)
    encoding: str = "fp32"
    fraction: float = 1.0
    min_new_episodes: int = 0
    late: str = FOLD
    normaliser: str = LOCAL
    aggregation: AggregateConfig = field(default_factory=AggregateConfig)
    queue: bool = False
    by: str = ""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("rounds", 1, 1000),
            ("min_robots", 1, 10_000),
            ("wait_s", 0, 86_400),
            ("timeout_s", 1, 604_800),
            ("fraction", 0.001, 1),
            ("min_new_episodes", 0, 1_000_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"must be from {low} to {high}", field=f"--{name}", value=value)
        for name, known in (
            ("encoding", ENCODINGS),
            ("late", (FOLD, DROP)),
            ("normaliser", (LOCAL, POOLED)),
        ):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    "isn't known",
                    field=f"--{name}",
                    value=value,
                    remedy=f"One of: {', '.join(known)}",
                )
        if len(self.by) > _LONGEST_NAME:
            raise ConfigError(
                f"must be at most {_LONGEST_NAME} characters", field="--by", value=self.by[:20]
            )
        if self.min_robots < self.aggregation.fewest:
            raise ConfigError(
                f"is too few for {self.aggregation.strategy}",
                field="--min_robots",
                value=self.min_robots,
                remedy=f"It needs {self.aggregation.fewest} updates",
            )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RoundSpec:
        """Of what was stored; a field that an earlier release didn't know has its default.

        Raises:
            ConfigError: a value beyond its bounds.
        """
        return cls(
            **{
                **values,
                "train": TrainConfig(**values["train"]),
                "aggregation": AggregateConfig.from_dict(values.get("aggregation", {})),
            }
        )
