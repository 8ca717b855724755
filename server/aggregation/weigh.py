"""How much each update counts: refused, shortened, weighted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from server.aggregation.config import CLIP, MEDIAN, TRIMMED_MEAN, AggregateConfig
from server.aggregation.stored import StoredUpdate


@dataclass(frozen=True)
class Share:
    """An update and what is made of it.

    Args:
        update: The update.
        scale: What its change is multiplied by, 1 unless it was too long.
        weight: Its weight in a mean, not yet divided by the sum of all.
    """

    update: StoredUpdate
    scale: float
    weight: float


@dataclass(frozen=True)
class Refused:
    """An update that isn't aggregated.

    Args:
        update: Which.
        reason: Why, a sentence for the operator.
    """

    update: StoredUpdate
    reason: str


def weigh(
    config: AggregateConfig, updates: Sequence[StoredUpdate]
) -> tuple[list[Share], list[Refused]]:
    """Those that count, in order of robot and job, and those that don't.

    The order of the sum is that of names: it doesn't depend on who came first.
    """
    shares: list[Share] = []
    refused: list[Refused] = []
    newest = {u.robot: u for u in sorted(updates, key=lambda u: (-u.staleness, u.job))}
    for update in sorted(updates, key=lambda u: (u.robot, u.job)):
        reason = _fault(config, update)
        if not reason and config.counts_heads and update is not newest[update.robot]:
            reason = "the robot has a newer one, and this strategy counts one of each"
        if reason:
            refused.append(Refused(update, reason))
        else:
            shares.append(Share(update, _scale(config, update), _weight(config, update)))
    return shares, refused


def normed(shares: Sequence[Share]) -> list[Share]:
    """The same with weights that add up to 1."""
    total = math.fsum(share.weight for share in shares)
    return [Share(s.update, s.scale, s.weight / total) for s in shares]


def _fault(config: AggregateConfig, update: StoredUpdate) -> str:
    if not math.isfinite(update.norm):
        return "its change has no finite length"
    if update.samples < 1:
        return f"it was trained on {update.samples} samples"
    if config.max_norm and math.isinf(update.relative_norm):
        return (
            "the weights that it changes are zeros: "
            "--aggregation.max_norm has nothing to compare its change with"
        )
    too_long = config.max_norm and update.relative_norm > config.max_norm
    if too_long and config.too_long != CLIP:
        return (
            f"its change is {update.relative_norm:.3g} of the weights' length, "
            f"more than the {config.max_norm:g} of --aggregation.max_norm"
        )
    return ""


def _scale(config: AggregateConfig, update: StoredUpdate) -> float:
    scale = 1.0
    if config.max_norm and update.relative_norm > config.max_norm:
        scale = config.max_norm / update.relative_norm
    if config.private and update.norm * scale > config.dp_clip:
        scale = config.dp_clip / update.norm
    return scale


def _weight(config: AggregateConfig, update: StoredUpdate) -> float:
    # With differential privacy a robot may move the mean by no more than its equal share; robust
    # statistics count heads, for whoever lies about an update lies about its samples too.
    if config.private or config.strategy in (MEDIAN, TRIMMED_MEAN):
        return 1.0
    return update.weight(config.parameter("staleness_exponent"))
