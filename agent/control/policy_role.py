"""The policy workers as control sees them: one that is asked, and at most one that takes over.

A request is in flight at most once per worker, and ends in a chunk, an error, a deadline or the
worker's death; the next one may then go. A worker of a newer generation takes over between two
requests, so no chunk mixes two models, and the old one is told to retire.

Discarded: chunks of a request made before the epoch changed (a stop, another source, another
task, a reset), and those of a worker that no longer is the active one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.peers import Emit, Peer
from agent.control.stats import LoopStats
from agent.control.timeline import Timeline
from agent.ipc import FrameBuffer, Message

_MOST_ACTIONS = 10_000
"""In a chunk: minutes."""


@dataclass
class _Request:
    number: int
    tick: int
    epoch: int
    sent_s: float


@dataclass(eq=False)
class _Worker:
    peer: Peer
    generation: int
    digest: str = ""
    chunk_size: int = 0
    ready: bool = False
    request: _Request | None = None


class PolicyRole:
    """Asks the policy for chunks and puts them on the timeline.

    Args:
        buffer: Two slots of shared memory for observations; workers use them in turn.
        timeline: Where chunks go.
        stats: Where latencies are counted.
        emit: Where events go.
        welcome: Fields that a worker needs (layout, buffer, fps, task …).
        ask_below: Ask when this share of a chunk or less is left.
        deadline_s: After this a request is given up and its worker reported as hung.
    """

    def __init__(
        self,
        *,
        buffer: FrameBuffer,
        timeline: Timeline,
        stats: LoopStats,
        emit: Emit,
        welcome: dict[str, Any],
        ask_below: float,
        deadline_s: float,
    ) -> None:
        self._buffer = buffer
        self._timeline = timeline
        self._stats = stats
        self._emit = emit
        self._welcome = welcome
        self._ask_below = ask_below
        self._deadline_s = deadline_s
        self._workers: list[_Worker] = []
        self._active: _Worker | None = None
        self._requests = 0
        self._now = 0
        self.epoch = 0
        self.task = str(welcome["task"])

    # What the loop calls -------------------------------------------------------------------

    def reset(self) -> None:
        """Forget all plans, also those still being computed."""
        self.epoch += 1
        self._timeline.clear()

    def step(self, tick: int) -> None:
        """Once a tick, before acting: deadlines and takeovers."""
        self._now = tick
        self._check_deadline()
        self._take_over()

    def offer(self, tick: int, state: NDArray[np.float32], images: dict[str, Any]) -> None:
        """Ask for a chunk from this tick's observation if one is needed and can be had."""
        worker = self._active
        if worker is None or worker.request is not None or not self._wanted(tick, worker):
            return
        slot = worker.generation % 2
        views = self._buffer[slot]
        views.state[:] = state
        for key, view in views.images.items():
            view[:] = images[key]
        self._requests += 1
        worker.request = _Request(self._requests, tick, self.epoch, time.monotonic())
        worker.peer.channel.send(
            "observe", request=self._requests, tick=tick, slot=slot, task=self.task
        )

    @property
    def ready(self) -> bool:
        return self._active is not None

    def to_json(self) -> dict[str, Any]:
        """For telemetry: which model answers."""
        worker = self._active
        return {
            "generation": worker.generation if worker else None,
            "digest": worker.digest if worker else None,
        }

    # What the peers call -------------------------------------------------------------------

    def welcome(self, peer: Peer) -> dict[str, Any]:
        generation = Message("hello", peer.hello).whole("generation")
        self._workers.append(_Worker(peer, generation))
        return self._welcome | {"task": self.task}

    def on_message(self, peer: Peer, message: Message) -> None:
        worker = self._find(peer)
        if message.kind == "ready":
            worker.digest = message.text("digest")
            worker.chunk_size = message.whole("chunk_size", low=1, high=_MOST_ACTIONS)
            worker.ready = True
            self._emit(
                "policy_ready",
                "a policy worker has loaded its model and warmed up",
                generation=worker.generation,
                digest=worker.digest,
                warmup_s=message.fields.get("warmup_s"),
            )
            self._take_over()
        elif message.kind == "chunk":
            self._on_chunk(worker, message)
        elif message.kind == "error":
            worker.request = None
            self._emit("policy_error", message.text("message"), generation=worker.generation)
        elif message.kind == "failed":
            self._emit("policy_failed", message.text("message"), generation=worker.generation)

    def on_lost(self, peer: Peer) -> None:
        worker = self._find(peer)
        self._workers.remove(worker)
        if worker is self._active:
            self._active = None
            self._emit(
                "policy_lost",
                "the policy worker is gone; the arm goes on with what is planned, then holds",
                generation=worker.generation,
                planned_ticks=self._timeline.remaining(self._now),
            )
            self._take_over()

    # ---------------------------------------------------------------------------------------

    def _find(self, peer: Peer) -> _Worker:
        return next(w for w in self._workers if w.peer is peer)

    def _wanted(self, tick: int, worker: _Worker) -> bool:
        left = self._timeline.remaining(tick + 1)
        latency_s = self._stats.latency_quantile(0.95) or 0.0
        needed = latency_s / self._stats.period_s + 2
        return left <= max(needed, self._ask_below * worker.chunk_size)

    def _on_chunk(self, worker: _Worker, message: Message) -> None:
        request = worker.request
        if request is None or message.whole("request") != request.number:
            return
        worker.request = None
        chunk = self._chunk(message)
        if isinstance(chunk, str):
            self._emit("policy_error", chunk, generation=worker.generation, pid=worker.peer.pid)
            return
        self._stats.latency(time.monotonic() - request.sent_s)
        if request.epoch != self.epoch or worker is not self._active:
            self._stats.stale_chunks += 1
            return
        useful = self._timeline.add(
            chunk, observed=request.tick, generation=worker.generation, now=self._now
        )
        self._stats.chunks += 1
        if useful == 0:
            self._stats.stale_chunks += 1

    def _chunk(self, message: Message) -> NDArray[np.float32] | str:
        """(N, A) the actions, or what is wrong with them."""
        shape, width = message.fields.get("shape"), len(self._buffer.layout.action_names)
        length = shape[0] if isinstance(shape, list) and len(shape) == 2 else None
        if (
            not isinstance(length, int)
            or not 1 <= length <= _MOST_ACTIONS
            or shape != [length, width]
        ):
            return f"a chunk of shape {shape}, not (n, {width})"
        if len(message.payload) != 4 * length * width:
            return f"a chunk of shape {shape} in {len(message.payload)} bytes"
        chunk = np.frombuffer(message.payload, np.float32).reshape(length, width)
        return chunk if np.isfinite(chunk).all() else "a chunk with numbers that are none (NaN)"

    def _check_deadline(self) -> None:
        for worker in self._workers:
            request = worker.request
            if request and time.monotonic() - request.sent_s > self._deadline_s:
                self._emit(
                    "policy_hung",
                    f"no chunk within {self._deadline_s} s",
                    generation=worker.generation,
                    pid=worker.peer.pid,
                )
                # Its end of file follows from the close; on_lost does the rest.
                worker.request = None
                worker.peer.channel.close()

    def _take_over(self) -> None:
        ready = [w for w in self._workers if w.ready]
        if not ready:
            return
        newest = max(ready, key=lambda w: w.generation)
        active = self._active
        if newest is active or (active is not None and active.request is not None):
            return
        self._active = newest
        if active is not None:
            active.peer.channel.send("retire")
        self._emit(
            "policy_switched",
            "this model computes the chunks from now on",
            generation=newest.generation,
            digest=newest.digest,
            before=active.digest if active else None,
        )
