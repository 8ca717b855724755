"""Motions that begin and end at rest."""

from __future__ import annotations

PEAK = 1.875
"""Peak speed of a minimum-jerk motion over its mean."""


def minimum_jerk(share: float) -> float:
    """Share of the way after a share of the time, 0..1: rest to rest (Flash and Hogan, 1985)."""
    share = min(max(share, 0.0), 1.0)
    return share**3 * (10 - 15 * share + 6 * share**2)
