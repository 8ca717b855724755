"""What a robot's owner asks of a release before and after it drives the arm.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robots.errors import ConfigError

ACCEPT, REFUSE, WAIT = "accept", "refuse", "wait"
FEW_EPISODES = (ACCEPT, REFUSE, WAIT)


@dataclass(kw_only=True)
class ReleasesConfig:
    """How a release earns its place on this robot.

    Raises:
        ConfigError: a value beyond its bounds.
    """

    # Take a release that passes; false: measure it, say so, and leave the taking to
    # `armada models promote`.
    auto: bool = True
    # A release may be this much worse, in parts of the current model's error on the held-out
    # episodes.
    margin: float = 0.02
    # Fewest held-out episodes that say something; the last tenth of all is held out.
    min_episodes: int = 3
    # A release that the held-out episodes are too few to tell of: accept it, refuse it, or wait
    # for more episodes.
    few_episodes: str = ACCEPT
    # Longest way of a release from the current model (L2 norm), in parts of the weights that it
    # changes; 0: no bound.
    max_norm: float = 0.0
    # Seconds of driving in which a release is watched and can still be rolled back by itself; 0:
    # none.
    probation_s: float = 120.0
    # Keep the previous model's worker loaded meanwhile, so that it drives again at once: as much
    # memory again as a policy takes (2.6 GB for SmolVLA in fp32).
    keep_previous: bool = True
    # Ticks in 10 s in which the guard may change its actions, beyond the previous model's rate.
    guard_ticks: int = 6
    # Ticks in 10 s without a planned action, beyond the previous model's rate.
    starved_ticks: int = 45
    # How much larger than the previous model's the steps of a joint may become, within chunks and
    # where they join; 0: not watched.
    jump_ratio: float = 4.0
    # Below which share of the previous model's the steps of the joint that moves most may not fall,
    # over 50 s: a release that freezes the arm trips nothing else; 0: not watched.
    still_share: float = 0.1
    # An operator's stop in that time is taken for a judgement on the release.
    stop_rolls_back: bool = True

    def __post_init__(self) -> None:
        if self.few_episodes not in FEW_EPISODES:
            raise ConfigError(
                "isn't known",
                field="--releases.few_episodes",
                value=self.few_episodes,
                remedy=f"One of: {', '.join(FEW_EPISODES)}",
            )
        for name, low, high in (
            ("margin", 0.0, 1.0),
            ("min_episodes", 2, 10_000),
            ("max_norm", 0.0, 1_000.0),
            ("probation_s", 0.0, 86_400.0),
            ("guard_ticks", 0, 2_000),
            ("starved_ticks", 0, 2_000),
            ("jump_ratio", 0.0, 1_000.0),
            ("still_share", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"must be from {low:g} to {high:g}", field=f"--releases.{name}", value=value
                )
        if 0 < self.jump_ratio < 1:
            raise ConfigError(
                "must be at least 1, or 0", field="--releases.jump_ratio", value=self.jump_ratio
            )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ReleasesConfig":
        """From the ``releases`` part of an agent's configuration file.

        Raises:
            ConfigError: a field is unknown, or a value beyond its bounds.
        """
        unknown = sorted(values.keys() - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise ConfigError("is unknown", field=f"--releases.{unknown[0]}")
        return cls(**values)
