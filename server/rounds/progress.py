"""Where a round's ServerApp is, on disk after every step: the next one goes on from there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from server.rounds.folder import RoundFolder, read_json, write_json

WAIT, QUERY, TRAIN, RELEASE, MEASURE = "wait", "query", "train", "release", "measure"
PHASES = (WAIT, QUERY, TRAIN, RELEASE, MEASURE)

OPEN, DONE, OUT, SAME = "open", "done", "out", "same"


@dataclass
class Seat:
    """A node that was asked.

    Args:
        robot: Its robot's name; empty until it has answered.
        state: ``open``; ``done``: it gave what it was asked for; ``out``: it won't; ``same``: its
            robot answers from another node.
        reason: Why it is out.
        bad: Replies that could not be used.
    """

    robot: str = ""
    state: str = OPEN
    reason: str = ""
    bad: int = 0


@dataclass
class Progress:
    """Where a round is.

    Args:
        server_round: Which of its rounds, from 1.
        phase: One of ``PHASES``.
        start_version: The release that it starts from; 0: the base policy.
        start_digest: Of its trainable tensors.
        normaliser: Pooled statistics as JSON; empty: each robot's own.
        deadline: Of the phase, seconds since the epoch; 0: it hasn't begun.
        wanted: Robots that were asked at first.
        seats: By node id.
        result_digest: Of what the updates were aggregated to; empty: they haven't been.
        release: Version that this round made; 0: none yet.
    """

    server_round: int = 1
    phase: str = WAIT
    start_version: int = 0
    start_digest: str = ""
    normaliser: str = ""
    deadline: float = 0.0
    wanted: int = 0
    seats: dict[str, Seat] = field(default_factory=dict)
    result_digest: str = ""
    release: int = 0

    @classmethod
    def load(cls, folder: RoundFolder) -> Progress:
        values: dict[str, Any] = read_json(folder.state)
        seats = {node: Seat(**seat) for node, seat in values.pop("seats", {}).items()}
        return cls(**values, seats=seats)

    def save(self, folder: RoundFolder) -> None:
        write_json(folder.state, dataclasses.asdict(self))

    def open_nodes(self) -> frozenset[str]:
        """Those that haven't answered for good."""
        return frozenset(node for node, seat in self.seats.items() if seat.state == OPEN)

    def enter(self, folder: RoundFolder, phase: str) -> None:
        """Begin a phase in which nobody is asked."""
        self.phase, self.deadline, self.wanted, self.seats = phase, 0.0, 0, {}
        self.save(folder)
