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


def admit(
    progress: Progress,
    online: Collection[str],
    name: Callable[[str], str],
    spec: RoundSpec,
    seed: int,
) -> list[str]:
    """Nodes to ask as well: a round that asks everybody asks whoever comes; another one asks
    somebody in the place of who went or is out for good.

    Args:
        progress: Of the round.
        online: Nodes that are there.
        name: The robot of a node, as far as it is known.
        spec: How many are asked.
        seed: Of this round. It gives each robot its place in the row, whoever else is in it.
    """

    def place(node: str) -> tuple[float, str]:
        # Not for secrets: an operator can repeat it.
        return random.Random(f"{seed} {name(node) or node}").random(), node

    newcomers = sorted((node for node in online if node not in progress.seats), key=place)
    if spec.fraction == 1.0:
        return newcomers
    there = sum(node in online for node, seat in progress.seats.items() if seat.state == OPEN)
    lacking = progress.wanted - _many(progress, DONE) - there
    return newcomers[: max(0, lacking)]


def complete(progress: Progress, online: Collection[str], spec: RoundSpec) -> bool:
    """Whether as many as were asked have answered for good, and nobody who is there still might;
    somebody who is asked in another's place is waited for like the others."""
    open_ = [node for node, seat in progress.seats.items() if seat.state == OPEN]
    if any(node in online for node in open_):
        return False
    if spec.fraction == 1.0:
        return _many(progress, DONE, OUT) >= progress.wanted
    return not open_ or _many(progress, DONE) >= progress.wanted


def rival(progress: Progress, node: str, robot: str) -> Seat | None:
    """The seat of another node that answered by the same name and still counts."""
    for other, seat in progress.seats.items():
        if other != node and seat.robot == robot and seat.state in (OPEN, DONE, OUT):
            return seat
    return None


def _many(progress: Progress, *states: str) -> int:
    return sum(seat.state in states for seat in progress.seats.values())
