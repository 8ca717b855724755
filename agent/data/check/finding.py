"""What the gate says: findings, and the verdict that they add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Weight(StrEnum):
    """What a finding means for its episode, lightest first."""

    NOTE = "note"
    """Worth knowing; the episode is good."""
    MENDABLE = "mendable"
    """``armada data check --repair`` can put it right without guessing."""
    BAD = "bad"
    """Nobody should learn from it."""


class Verdict(StrEnum):
    """Of an episode or a data set."""

    CLEAN = "CLEAN"
    REPAIRED = "REPAIRED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that was seen.

    Args:
        rule: Its name, one word: ``gap``, ``doubled``, ``black`` …
        weight: What it means.
        detail: In words, with figures.
        feature: Joint, camera or column; empty: the whole episode.
        frames: First and last frame that show it; ``None``: all or none in particular.
    """

    rule: str
    weight: Weight
    detail: str
    feature: str = ""
    frames: tuple[int, int] | None = None

    def __str__(self) -> str:
        where = f" {self.feature}" if self.feature else ""
        return f"{self.rule}{where}: {self.detail}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def verdict(findings: Iterable[Finding]) -> Verdict:
    """What findings add up to; ``REPAIRED`` means: as soon as it is."""
    weights = {finding.weight for finding in findings}
    if Weight.BAD in weights:
        return Verdict.REJECTED
    return Verdict.REPAIRED if Weight.MENDABLE in weights else Verdict.CLEAN
