"""Updates that came after their round."""

from __future__ import annotations

from pathlib import Path

from robots.errors import FederationError
from server.rounds.jobs import Ordered, find_ordered
from server.rounds.progress import Progress

MOST_LATE = 16
"""Releases that an update may lie behind; what is older says nothing of the weights of today."""


def wanted_late(
    rounds: Path, job: str, progress: Progress, received: tuple[str, ...]
) -> tuple[Ordered, int]:
    """What an earlier job was, and how many releases it lies behind.

    Args:
        rounds: ``…/rounds``.
        job: Its name, as a robot says it.
        progress: Of the round that it would be folded into.
        received: Jobs of this robot that the server is done with.

    Raises:
        FederationError: this server wants no update of it.
    """
    if job in received:
        raise FederationError("was received before", field="job", value=job)
    ordered = find_ordered(rounds, job)
    if ordered is None:
        raise FederationError("was never ordered, or was cancelled", field="job", value=job)
    behind = progress.start_version - ordered.start_version
    if not 0 <= behind <= MOST_LATE:
        raise FederationError(
            f"lies {behind} releases behind, more than {MOST_LATE}", field="job", value=job
        )
    return ordered, behind
