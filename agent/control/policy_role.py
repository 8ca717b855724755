"""The policy workers as the control loop sees them: one that is asked, others that take over.

A request is in flight at most once per worker, and ends in a chunk, an error, a deadline or the
worker's death; the next one may then go. A remote worker is also asked anew after a reset, in place
of what nobody wants any more. Another worker takes over between two requests, so no chunk mixes two
models: one of a newer generation, and then the old one is told to retire; or a remote one whose
link is up again, or the local one while it is down or silent.

Discarded: chunks of a request made before the epoch changed (a stop, another source, another
task, a reset), and those of a worker that no longer is the active one.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.asking import Asking
from agent.control.chunk_stats import ChunkStats
from agent.control.peers import Emit, Peer
from agent.control.policy_peers import (
    Worker,
    best,
    free_slot,
    outdated,
)
from agent.control.timeline import Planned, Timeline
from agent.ipc import MOST_LOOKED_AT, FrameBuffer, Message
from agent.policy.remote.wire import MOST_ACTIONS

SLOTS = 4 * MOST_LOOKED_AT
"""For a local and a remote worker, and one that is to replace each. Memory that no observation was
written to is none."""

_MOST_BYTES = 1 << 40

_PATIENCE = 2
"""Chunks: no plan bridges the time that such a server takes, and an arm with a policy of its own is
better off with that."""

Frame = tuple[NDArray[np.float32], dict[str, Any]]
"""State and images of a tick."""

_NO_ACTION = np.zeros(0, np.float32)


class PolicyRole:
    """Asks the policy for chunks and puts them on the timeline.

    Args:
        buffer: Slots of shared memory for observations, one per worker.
        timeline: Where chunks go.
        stats: Where they are counted.
        emit: Where events go.
        welcome: Fields that a worker needs (layout, buffer, fps, task …).
        asking: When to ask.
        deadline_s: After this a request is given up and its worker reported as hung.
        continues: Whether the policy is told the plan that its chunk is to continue (real-time
            chunking).
    """

    def __init__(
        self,
        *,
        buffer: FrameBuffer,
        timeline: Timeline,
        stats: ChunkStats,
        emit: Emit,
        welcome: dict[str, Any],
        asking: Asking,
        deadline_s: float,
        continues: bool = False,
    ) -> None:
        self._buffer = buffer
        self._timeline = timeline
        self._stats = stats
        self._emit = emit
        self._welcome = welcome
        self._asking = asking
        self._deadline_s = deadline_s
        self._continues = continues
        self._workers: list[Worker] = []
        self._active: Worker | None = None
        self._requests = 0
        self._now = 0
        self._held = 0
        self._past: deque[tuple[int, Frame]] = deque()
        self.epoch = 0
        self.task = str(welcome["task"])

    # What the loop calls -------------------------------------------------------------------

    def reset(self) -> None:
        """Forget all plans, also those still being computed."""
        self.epoch += 1
        self._past.clear()
        self._timeline.clear()

    def step(self, tick: int) -> None:
        """Once a tick, before acting: deadlines and takeovers."""
        self._now = tick
        self._check_deadline()
        self._take_over()

    def offer(self, tick: int, state: NDArray[np.float32], images: dict[str, Any]) -> None:
        """Ask for a chunk from this tick's observation if one is needed and can be had."""
        worker = self._active
        if worker is None:
            return
        while self._past and self._past[0][0] <= tick - worker.looks_back:
            # Also after ticks without a worker or with a picture that was not to be shown.
            self._past.popleft()
        if worker.may_be_asked(self.epoch) and self._wanted(tick, worker):
            self._ask(worker, tick, (state, images))
        if worker.looks_back > 1:
            self._keep(tick, (state, images))

    def hold(self) -> None:
        """The arm holds for want of a plan in this tick."""
        self._held += 1

    def _ask(self, worker: Worker, tick: int, newest: Frame) -> None:
        frames = [newest, *(frame for _, frame in reversed(self._past))]
        slots = [worker.slot + i for i in range(len(frames))]
        for slot, frame in zip(slots, frames, strict=True):
            self._show(slot, frame)
        self._requests += 1
        worker.ask(self._requests, tick, self.epoch, self._held)
        plan = self._timeline.ahead(tick) if self._continues else np.zeros((0, 0), np.float32)
        worker.peer.channel.send(
            "observe",
            payload=plan.tobytes(),
            request=self._requests,
            tick=tick,
            epoch=self.epoch,
            slot=worker.slot,
            past=slots[:0:-1],
            task=self.task,
            plan=list(plan.shape),
            frozen=min(len(plan), self._asking.ticks(worker.latency.seconds)),
        )

    def _show(self, slot: int, frame: Frame) -> None:
        state, images = frame
        views = self._buffer[slot]
        views.state[:] = state
        for key, view in views.images.items():
            view[:] = images[key]

    def _keep(self, tick: int, frame: Frame) -> None:
        """Copied: a camera may write its next picture over this one."""
        state, images = frame
        shown = self._buffer.layout.images
        self._past.append((tick, (state.copy(), {i.key: images[i.key].copy() for i in shown})))

    @property
    def ready(self) -> bool:
        return self._active is not None

    def to_json(self) -> dict[str, Any]:
        """For telemetry: which model answers, and from where."""
        worker = self._active
        return {
            "generation": worker.generation if worker else None,
            "digest": worker.digest if worker else None,
            "inference": None if worker is None else "remote" if worker.remote else "local",
        }

    def end_trial(self, generation: int, *, keep: bool) -> None:
        """The model on probation stays, and its predecessor goes; or none of its actions is taken
        from now on, planned ones included, and the predecessor is asked again."""
        for worker in self._workers:
            if worker.remote or worker.generation != generation:
                continue
            worker.trial = False
            if not keep:
                worker.ready = False
                worker.peer.channel.send("retire")
                if worker is self._active:
                    self._active = None
                    self.reset()
        self._take_over()

    # What the peers call -------------------------------------------------------------------

    def welcome(self, peer: Peer) -> dict[str, Any]:
        hello = Message("hello", peer.hello)
        generation = hello.whole("generation")
        slot = free_slot(self._workers, self._buffer.slots)
        remote, trial = (hello.fields.get(name) is True for name in ("remote", "trial"))
        self._workers.append(Worker(peer, generation, slot, remote, trial))
        return self._welcome | {"task": self.task, "slot": slot}

    def on_message(self, peer: Peer, message: Message) -> None:
        worker = self._find(peer)
        if message.kind == "ready":
            self._on_ready(worker, message)
        elif message.kind == "chunk":
            self._on_chunk(worker, message)
        elif message.kind == "error":
            self._on_error(worker, message)
        elif message.kind == "failed":
            self._emit("policy_failed", message.text("message"), generation=worker.generation)
        elif message.kind == "link":
            self._on_link(worker, message)

    def on_lost(self, peer: Peer) -> None:
        worker = self._find(peer)
        self._workers.remove(worker)
        if worker is self._active:
            self._active = None
            self._emit(
                "policy_lost",
                "the policy worker is gone; the arm goes on with what is planned, then holds",
                generation=worker.generation,
                planned_ticks=self._timeline.remaining(self._now + 1),
            )
            self._take_over()

    # ---------------------------------------------------------------------------------------

    def _find(self, peer: Peer) -> Worker:
        return next(w for w in self._workers if w.peer is peer)

    def _wanted(self, tick: int, worker: Worker) -> bool:
        first = self._timeline.first
        return self._asking.wanted(
            age=None if first is None else tick - first,
            left=self._timeline.remaining(tick + 1),
            latency_s=worker.latency.seconds,
            chunk_size=worker.chunk_size,
        )

    def _on_ready(self, worker: Worker, message: Message) -> None:
        worker.digest = message.text("digest")
        worker.chunk_size = message.whole("chunk_size", low=1, high=MOST_ACTIONS)
        if "looks_back" in message.fields:
            worker.looks_back = message.whole("looks_back", low=1, high=MOST_LOOKED_AT)
        if "chunk_s" in message.fields:
            # Said by each worker, not inherited from the one before: a fallback that was never
            # asked and the first one after a restart of control have none, and another model or
            # server takes another time.
            worker.latency.expect(message.number("chunk_s"))
        worker.ready = True
        if worker.remote:
            worker.patience_s = _PATIENCE * worker.chunk_size * self._asking.period_s
        self._emit(
            "policy_ready",
            "a policy worker has loaded its model and warmed up",
            generation=worker.generation,
            digest=worker.digest,
            pid=worker.peer.pid,
            warmup_s=message.fields.get("warmup_s"),
        )
        self._take_over()

    def _on_link(self, worker: Worker, message: Message) -> None:
        up = message.fields.get("up") is True
        if up == worker.up:
            return
        worker.up = up
        if up:
            worker.failures, worker.not_before = 0, 0.0
        self._emit(
            "policy_link",
            str(message.fields.get("cause") or "the policy server answers"),
            up=up,
            generation=worker.generation,
        )
        self._take_over()

    def _on_error(self, worker: Worker, message: Message) -> None:
        cause, news = message.text("message"), True
        if worker.asked(message.fields.get("request")) is None:
            # Of a remote one: of a question whose place another has taken.
            news = not worker.remote
        elif "again_s" in message.fields:
            # Told once: it comes with each request for as long as the server is busy.
            news = not worker.busy
            worker.shed(message.number("again_s"))
        else:
            worker.failed()
        if news:
            self._emit("policy_error", cause, generation=worker.generation)

    def _on_chunk(self, worker: Worker, message: Message) -> None:
        request = worker.asked(message.whole("request"))
        if request is None:
            return
        chunk = self._chunk(message)
        if isinstance(chunk, str):
            worker.failed()
            self._emit("policy_error", chunk, generation=worker.generation, pid=worker.peer.pid)
            return
        worker.answered()
        self._count(worker, message, time.monotonic() - request.sent_s)
        if request.epoch != self.epoch or worker is not self._active:
            self._stats.stale += 1
            return
        origin = Planned(
            _NO_ACTION,
            observed=request.tick,
            first=request.tick + self._held - request.held,
            generation=worker.generation,
            request=request.number,
            epoch=request.epoch,
            digest=self._digest(worker, message),
        )
        # Messages are heard before the tick that they come in is told here.
        useful = self._timeline.add(chunk, origin, now=self._now + 1)
        self._stats.chunks += 1
        if useful == 0:
            self._stats.stale += 1

    def _digest(self, worker: Worker, message: Message) -> str:
        """Of the model that computed it: a server changes its own between two chunks."""
        digest = message.fields.get("digest")
        if not isinstance(digest, str) or digest == worker.digest:
            return worker.digest
        before, worker.digest = worker.digest, digest
        self._emit(
            "policy_switched",
            "the policy server has another model",
            generation=worker.generation,
            digest=digest,
            before=before,
        )
        return digest

    def _count(self, worker: Worker, message: Message, latency_s: float) -> None:
        worker.latency.note(latency_s)
        timings = message.fields.get("timings")
        inside = message.fields.get("inside")
        self._stats.note(
            latency_s,
            timings if isinstance(timings, dict) else {},
            inside if isinstance(inside, dict) else {},
        )
        if "bytes_up" in message.fields:
            self._stats.bytes_up += message.whole("bytes_up", high=_MOST_BYTES)
            self._stats.bytes_down += message.whole("bytes_down", high=_MOST_BYTES)

    def _chunk(self, message: Message) -> NDArray[np.float32] | str:
        """(N, A) the actions, or what is wrong with them."""
        shape, width = message.fields.get("shape"), len(self._buffer.layout.action_names)
        length = shape[0] if isinstance(shape, list) and len(shape) == 2 else None
        if (
            not isinstance(length, int)
            or not 1 <= length <= MOST_ACTIONS
            or shape != [length, width]
        ):
            return f"a chunk of shape {shape}, not (n, {width})"
        if len(message.payload) != 4 * length * width:
            return f"a chunk of shape {shape} in {len(message.payload)} bytes"
        chunk = np.frombuffer(message.payload, np.float32).reshape(length, width)
        return chunk if np.isfinite(chunk).all() else "a chunk with numbers that are none (NaN)"

    def _check_deadline(self) -> None:
        for worker in self._workers:
            if worker.silent_s > self._deadline_s:
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
        active = self._active
        if active is not None and active.request is not None and not active.late:
            return
        chosen = best(self._workers)
        if chosen is None:
            return
        for worker in self._workers:
            if worker.ready and worker.request is None and outdated(worker, self._workers):
                worker.ready = False
                worker.peer.channel.send("retire")
        if chosen is active:
            return
        self._active = chosen
        self._emit(
            "policy_switched",
            "this model computes the chunks from now on",
            generation=chosen.generation,
            digest=chosen.digest,
            inference="remote" if chosen.remote else "local",
            before=active.digest if active else None,
        )
