"""Who is asked in a round, and when there is nobody left to wait for."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection

from server.rounds.progress import DONE, OPEN, OUT, Progress, Seat
from server.rounds.spec import RoundSpec


def draw(
    nodes: Collection[str], name: Callable[[str], str], spec: RoundSpec, seed: int
) -> list[str]:
    """The nodes that are asked first: a share of those that are there, drawn by seed.

    Args:
        nodes: Those that are there.
        name: The robot of a node, as far as it is known: the same robots are drawn again when
            their nodes have other numbers.
        spec: How many.
        seed: Of this round.
    """
    ordered = sorted(nodes, key=lambda node: (name(node), node))
    many = min(len(ordered), max(spec.min_robots, math.ceil(spec.fraction * len(ordered))))
    # Not for secrets: an operator can repeat it.
    return random.Random(seed).sample(ordered, many)


def admit(progress: Progress, online: Collection[str], spec: RoundSpec) -> list[str]:
    """Nodes to ask as well: they came during the round, and it asks everybody or lacks robots."""
    newcomers = sorted(node for node in online if node not in progress.seats)
    if spec.fraction == 1.0:
        return newcomers
    there = sum(node in online for node, seat in progress.seats.items() if seat.state == OPEN)
    lacking = progress.wanted - _settled(progress) - there
    return newcomers[: max(0, lacking)]


def complete(progress: Progress, online: Collection[str]) -> bool:
    """Whether as many as were asked have answered for good, and nobody who is there still might."""
    working = any(node in online for node, seat in progress.seats.items() if seat.state == OPEN)
    return _settled(progress) >= progress.wanted and not working


def rival(progress: Progress, node: str, robot: str) -> Seat | None:
    """The seat of another node that answered by the same name and still counts."""
    for other, seat in progress.seats.items():
        if other != node and seat.robot == robot and seat.state in (OPEN, DONE, OUT):
            return seat
    return None


def _settled(progress: Progress) -> int:
    return sum(seat.state in (DONE, OUT) for seat in progress.seats.values())
