"""Whether a candidate may become current: both models on the same held-out episodes, paired.

Two policies meet the same frames with the same noise (:mod:`agent.policy.evaluate`), so what makes
one episode harder than another drops out of the difference. Of the differences, in parts of the
current model's mean error, the gate knows a mean and a one-sided 95 % bound by Student's t:
held-out episodes are few, and a bootstrap of three or five differences is far too narrow
(resampling them can't show a difference that none of them had). It is a test of non-inferiority:
being better need not be shown, being worse by more than the margin must be ruled out.

=====================================  ====================================================
mean difference > margin               refuse
upper bound ≤ margin                   promote
too few episodes, or bound > margin    too few episodes: as ``--releases.few_episodes`` says
=====================================  ====================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from agent.releases.owner import ACCEPT, REFUSE, ReleasesConfig

LEVEL = 0.95
_SAME = 1e-12


class Verdict(StrEnum):
    """What the held-out episodes say."""

    PROMOTE = "promote"
    REFUSE = "refuse"
    TOO_FEW = "too few episodes"


class Action(StrEnum):
    """What is done about it."""

    TAKE = "take"
    REFUSE = "refuse"
    WAIT = "wait"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The gate's answer and its numbers.

    Args:
        verdict: What the episodes say.
        reason: In words.
        episodes: How many were compared.
        error_candidate, error_current: Mean errors over them; ``None``: nothing was compared.
        difference: Mean of the paired differences, in parts of ``error_current``; above 0 the
            candidate is worse.
        upper: Its one-sided 95 % bound; ``None``: fewer than two episodes say nothing of it.
        margin: Largest difference that is let through.
    """

    verdict: Verdict
    reason: str
    episodes: int
    error_candidate: float | None = None
    error_current: float | None = None
    difference: float | None = None
    upper: float | None = None
    margin: float

    def to_json(self) -> dict[str, Any]:
        """For events; what was not measured is left out."""
        values = {
            "verdict": self.verdict.value,
            "episodes": self.episodes,
            "error_candidate": self.error_candidate,
            "error_current": self.error_current,
            "difference": self.difference,
            "upper": self.upper,
            "margin": self.margin,
        }
        return {name: value for name, value in values.items() if value is not None}


def judge(
    candidate: Sequence[float], current: Sequence[float], config: ReleasesConfig
) -> Judgement:
    """Compare errors episode by episode.

    Args:
        candidate, current: Each model's error on the same episodes, in the same order.
        config: Margin and fewest episodes.

    Raises:
        ValueError: not the same number, or an error that is no number.
    """
    ours, theirs = np.asarray(candidate, np.float64), np.asarray(current, np.float64)
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise ValueError(f"errors don't pair: {candidate} and {current}")
    n, margin = len(ours), config.margin
    if n == 0:
        return Judgement(
            verdict=Verdict.TOO_FEW, reason="there are no held-out episodes", episodes=0,
            margin=margin,
        )  # fmt: skip
    error_candidate, error_current = float(ours.mean()), float(theirs.mean())
    differences = (ours - theirs) / max(error_current, _SAME)
    mean, upper = float(differences.mean()), upper_bound(differences)
    verdict, reason = _verdict(mean, upper, n, config)
    return Judgement(
        verdict=verdict,
        reason=reason,
        episodes=n,
        error_candidate=error_candidate,
        error_current=error_current,
        difference=mean,
        upper=upper,
        margin=margin,
    )


def upper_bound(differences: Sequence[float] | np.ndarray[Any, Any]) -> float | None:
    """One-sided 95 % bound of the mean by Student's t; ``None`` for fewer than two values."""
    # Here and not above: it takes a second to import, and only whoever compares needs it.
    from scipy.stats import t

    values = np.asarray(differences, np.float64)
    if len(values) < 2:
        return None
    spread = float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean() + t.ppf(LEVEL, len(values) - 1) * spread)


def action(judgement: Judgement, config: ReleasesConfig) -> Action:
    """What the owner wants done about a verdict."""
    if judgement.verdict is Verdict.PROMOTE:
        return Action.TAKE
    if judgement.verdict is Verdict.REFUSE or config.few_episodes == REFUSE:
        return Action.REFUSE
    return Action.TAKE if config.few_episodes == ACCEPT else Action.WAIT


def _verdict(
    mean: float, upper: float | None, n: int, config: ReleasesConfig
) -> tuple[Verdict, str]:
    margin = config.margin
    seen = f"on {n} held-out episode{'s' if n > 1 else ''}"
    if mean > margin:
        return Verdict.REFUSE, f"{mean:+.1%} worse {seen}, {margin:.1%} is let through"
    if n < config.min_episodes:
        return Verdict.TOO_FEW, f"{mean:+.1%} {seen}, fewer than {config.min_episodes}"
    if upper is None or upper > margin:
        bound = "" if upper is None else f", but {upper:+.1%} can't be ruled out"
        return Verdict.TOO_FEW, f"{mean:+.1%} {seen}{bound}"
    return Verdict.PROMOTE, f"{mean:+.1%} {seen}, at most {upper:+.1%}"
