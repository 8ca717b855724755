"""Planned actions by tick.

A chunk computed from the observation of tick t0 answers for ticks t0, t0+1, …; it says nothing
about when it arrives. What has passed by then is dropped. An arm that holds for want of a plan does
not move on in it: the ticks that it held meanwhile are added, so that a policy slower than its own
chunk is followed in bursts and not never. Where several chunks answer for one tick, a *merge*
decides (``agent/control/merging``). Chunks of two models are never merged: the newest
one's wins. The timeline knows no policy, no clock and no arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_MOST_CHUNKS = 128
"""That answer for one tick; a policy that is asked every tick for chunks of 50 has 50."""


@dataclass(frozen=True)
class Planned:
    """One planned action and where it came from.

    Args:
        action: (A,) float32 in the robot's units.
        observed: The tick of the observation that it was computed from.
        first: The tick that its chunk begins with: ``observed``, or later by the ticks that the arm
            held since for want of a plan.
        generation: The policy worker that computed it.
        request: Number of the request that it answers.
        epoch: Counts the resets (stop, task, source); a plan of an earlier one is never acted on.
        digest: Of the model.
    """

    action: NDArray[np.float32]
    observed: int
    first: int
    generation: int
    request: int = 0
    epoch: int = 0
    digest: str = ""

    def origin(self) -> dict[str, Any]:
        """All but the action, as JSON values."""
        return {
            "observed": self.observed,
            "first": self.first,
            "generation": self.generation,
            "request": self.request,
            "epoch": self.epoch,
            "digest": self.digest,
        }


class Merge(Protocol):
    """Makes one plan out of several."""

    name: str

    def __call__(self, tick: int, plans: Sequence[Planned]) -> Planned:
        """The plan for ``tick``.

        Args:
            tick: That is planned.
            plans: What each chunk says of it, oldest observation first; never empty, all of one
                model. The answer carries the origin of the last. MUST take microseconds.
        """


@dataclass(frozen=True)
class _Chunk:
    """(N, A) actions and the origin that all of them share."""

    actions: NDArray[np.float32]
    origin: Planned

    def covers(self, tick: int) -> bool:
        return 0 <= tick - self.origin.first < len(self.actions)

    def at(self, tick: int) -> Planned:
        return replace(self.origin, action=self.actions[tick - self.origin.first])


class Timeline:
    """Maps ticks to planned actions.

    Args:
        merge: Decides where several chunks answer for one tick; ``None``: the newest.
    """

    def __init__(self, merge: Merge | None = None) -> None:
        self._merge = merge
        self._chunks: list[_Chunk] = []

    def add(self, chunk: NDArray[np.float32], origin: Planned, *, now: int) -> int:
        """Plan a chunk.

        Args:
            chunk: (N, A) actions for ticks ``origin.first`` … ``origin.first + N - 1``.
            origin: Where it came from; its action is not looked at.
            now: The next tick that will be acted on; earlier ones are dropped.

        Returns:
            How many of the N actions were still in time.
        """
        useful = min(len(chunk), origin.first + len(chunk) - now)
        if useful <= 0:
            return 0
        self._chunks.append(_Chunk(chunk, origin))
        # Not by generation: a remote worker's is the least, however new what it answers is.
        self._chunks.sort(key=lambda c: c.origin.observed)
        del self._chunks[:-_MOST_CHUNKS]
        return useful

    def take(self, tick: int) -> Planned | None:
        """The plan for ``tick``, or ``None`` (starvation); plans up to ``tick`` are forgotten."""
        planned = self.look(tick)
        self._chunks = [c for c in self._chunks if c.origin.first + len(c.actions) > tick + 1]
        return planned

    def look(self, tick: int) -> Planned | None:
        """The plan for ``tick``, or ``None``."""
        chunks = [c for c in self._chunks if c.covers(tick)]
        if not chunks:
            return None
        last = chunks[-1].origin
        if self._merge is None or len(chunks) == 1:
            return chunks[-1].at(tick)
        same = [
            c.at(tick)
            for c in chunks
            if (c.origin.generation, c.origin.digest) == (last.generation, last.digest)
        ]
        return self._merge(tick, same)

    def ahead(self, tick: int) -> NDArray[np.float32]:
        """(L, A) the plans from ``tick`` on, without a gap; L = 0 when there is none."""
        actions: list[NDArray[np.float32]] = []
        while (planned := self.look(tick + len(actions))) is not None:
            actions.append(planned.action)
        return np.array(actions, np.float32) if actions else np.zeros((0, 0), np.float32)

    def remaining(self, tick: int) -> int:
        """How many ticks from ``tick`` on are planned without a gap."""
        end = tick
        for chunk in sorted(self._chunks, key=lambda c: c.origin.first):
            if chunk.origin.first <= end:
                end = max(end, chunk.origin.first + len(chunk.actions))
        return end - tick

    @property
    def first(self) -> int | None:
        """The tick that the chunk of the newest observation begins with."""
        return self._chunks[-1].origin.first if self._chunks else None

    def clear(self) -> None:
        self._chunks.clear()
