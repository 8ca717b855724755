"""Which merge: ``--inference.merge`` and what belongs to it.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import math
from dataclasses import dataclass

from agent.control.merging.ensemble import ensemble
from agent.control.merging.newest import Newest
from agent.control.merging.weighted import NEW_SHARE, weighted
from agent.control.timeline import Merge
from robots.errors import ConfigError

MERGES = ("newest", "weighted", "ensemble", "rtc")
GUIDANCES = ("exact", "identity")
_BELONGS_TO = {
    "aggregate_fn_name": "weighted",
    "temporal_ensemble_coeff": "ensemble",
    "guidance": "rtc",
    "max_guidance_weight": "rtc",
}


@dataclass(kw_only=True)
class MergeConfig:
    """Fields of ``--inference.…``.

    Raises:
        ConfigError: no such strategy, a number out of range, or a choice that another strategy
            would need and this one would ignore.
    """

    # How chunks that plan the same tick are merged: newest, weighted, ensemble, or rtc, which asks
    # the policy to continue the plan (docs/chunks.md).
    merge: str = "newest"
    # Of `weighted`, LeRobot's: weighted_average, latest_only, average or conservative.
    aggregate_fn_name: str = "weighted_average"
    # Of `ensemble`, ACT's m: above 0 older plans weigh more.
    temporal_ensemble_coeff: float = 0.01
    # Of `rtc`: exact takes the gradient through the policy, identity is LeRobot's cheaper one.
    guidance: str = "exact"
    # Of `rtc`: the most that a denoising step is pulled towards the plan, the paper's β.
    max_guidance_weight: float = 5.0

    def __post_init__(self) -> None:
        for name, choices in (
            ("merge", MERGES),
            ("aggregate_fn_name", tuple(NEW_SHARE)),
            ("guidance", GUIDANCES),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(
                    "there is no such choice",
                    field=f"--inference.{name}",
                    value=value,
                    remedy=f"Choose one of {', '.join(choices)}",
                )
        if not math.isfinite(self.temporal_ensemble_coeff):
            raise ConfigError(
                "must be finite",
                field="--inference.temporal_ensemble_coeff",
                value=self.temporal_ensemble_coeff,
            )
        if not 0 < self.max_guidance_weight < math.inf:
            raise ConfigError(
                "must be positive",
                field="--inference.max_guidance_weight",
                value=self.max_guidance_weight,
            )

        for name, merge in _BELONGS_TO.items():
            value = getattr(self, name)
            if self.merge != merge and value != MergeConfig.__dataclass_fields__[name].default:
                raise ConfigError(
                    f"belongs to --inference.merge={merge} and would be ignored",
                    field=f"--inference.{name}",
                    value=value,
                    remedy=f"Add --inference.merge={merge}, or leave it out",
                )

    @property
    def continues(self) -> bool:
        """Whether the policy is told the plan with each request."""
        return self.merge == "rtc"

    def make_merge(self) -> Merge:
        """The strategy."""
        if self.merge == "weighted":
            return weighted(self.aggregate_fn_name)
        if self.merge == "ensemble":
            return ensemble(self.temporal_ensemble_coeff)
        return Newest(self.merge)
