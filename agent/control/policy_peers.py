"""The policy workers as control keeps them: what each has said, and which one is to be asked.

A *local* worker computes chunks on this host, a *remote* one has them from a policy server. The
remote one is asked while its link is up and it answers in time, the local one else; of each kind
the newest generation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.control.latency import Latency
from agent.control.peers import Peer
from agent.ipc import MOST_LOOKED_AT

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
"""Between requests that fail one after the other: a policy that answers with NaN, say."""


@dataclass
class Request:
    """An observation that a worker has been asked about, and what held when it was."""

    number: int
    tick: int
    epoch: int
    sent_s: float
    held: int
    """Ticks without a plan before it."""


@dataclass(eq=False)
class Worker:
    """One policy worker.

    Args:
        peer: Its connection.
        generation: Which worker it is, counted by the supervisor.
        slot: Of the shared memory that its observation lies in; those before it in the next ones.
        remote: Whether a server computes for it.
        trial: Whether its model is on probation: those before it are kept, to go back to.
    """

    peer: Peer
    generation: int
    slot: int
    remote: bool = False
    trial: bool = False
    digest: str = ""
    chunk_size: int = 0
    looks_back: int = 1
    """Observations that it needs, one a tick."""
    ready: bool = False
    up: bool = True
    """Whether its server can be reached; a local one always can."""
    patience_s: float = math.inf
    """How long a local one stands by while this one doesn't answer."""
    request: Request | None = None
    latency: Latency = field(default_factory=Latency)
    failures: int = 0
    not_before: float = 0.0

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """The greatest is asked."""
        return self.up and not self.late, self.remote, self.generation

    @property
    def late(self) -> bool:
        """Whether it has been silent for longer than what is planned can last."""
        return self.request is not None and time.monotonic() - self.request.sent_s > self.patience_s

    @property
    def may_be_asked(self) -> bool:
        return self.request is None and self.up and time.monotonic() >= self.not_before

    def failed(self) -> None:
        """The request ended in an error: the next one after a pause that grows."""
        self.request = None
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self.failures, 10))
        self.not_before = time.monotonic() + pause_s
        self.failures += 1

    def answered(self) -> None:
        self.request = None
        self.failures = 0


def best(workers: Sequence[Worker]) -> Worker | None:
    """Who is to be asked, of those that are ready."""
    return max((w for w in workers if w.ready), key=lambda w: w.rank, default=None)


def outdated(worker: Worker, workers: Sequence[Worker]) -> bool:
    """Whether a newer one of its kind is ready, and there to stay."""
    return any(
        w.ready and not w.trial and w.remote == worker.remote and w.generation > worker.generation
        for w in workers
    )


def free_slot(workers: Sequence[Worker], slots: int) -> int:
    """The first of ``MOST_LOOKED_AT`` slots that nobody has.

    Raises:
        ValueError: there is none: more workers than anybody starts.
    """
    taken = {worker.slot for worker in workers}
    free = [slot for slot in range(0, slots, MOST_LOOKED_AT) if slot not in taken]
    if not free:
        raise ValueError(f"there are {len(taken)} policy workers already")
    return free[0]
