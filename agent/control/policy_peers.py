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
    silent_since: float
    """When its worker was last heard of, or asked: one that takes another's place goes on counting
    what that one waited, or a worker that hangs would be given up later with each reset."""


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
    busy: bool = False
    """Whether its server was, for a request since the last chunk."""

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """The greatest is asked."""
        return self.up and not self.late, self.remote, self.generation

    @property
    def late(self) -> bool:
        """Whether it has been silent for longer than what is planned can last."""
        return self.silent_s > self.patience_s

    @property
    def silent_s(self) -> float:
        """How long it has owed an answer without a word."""
        return 0.0 if self.request is None else time.monotonic() - self.request.silent_since

    def may_be_asked(self, epoch: int) -> bool:
        """Also while it owes an answer that nobody wants any more, if it is a remote one: its
        server takes the newer question in the older one's place. A local one computes, and could
        not begin any sooner."""
        free = self.request is None or (self.remote and self.request.epoch != epoch)
        return free and self.up and time.monotonic() >= self.not_before

    def ask(self, number: int, tick: int, epoch: int, held: int) -> None:
        """A request is on its way."""
        now = time.monotonic()
        since = now if self.request is None else self.request.silent_since
        self.request = Request(number, tick, epoch, now, held, since)

    def asked(self, number: object) -> Request | None:
        """The request that has this number, if its answer is still waited for. The answer to one
        that was replaced is for nobody, and says that the worker isn't silent."""
        request = self.request
        if request is not None and request.number != number:
            request.silent_since = request.sent_s
            return None
        return request

    def shed(self, again_s: float) -> None:
        """Its server was too busy for the request, and said when it may be asked again."""
        self.request = None
        self.not_before = time.monotonic() + again_s
        self.busy = True

    def failed(self) -> None:
        """The request ended in an error: the next one after a pause that grows."""
        self.request = None
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self.failures, 10))
        self.not_before = time.monotonic() + pause_s
        self.failures += 1

    def answered(self) -> None:
        self.request = None
        self.failures = 0
        self.busy = False


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
