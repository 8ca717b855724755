"""The trial of a release on the arm: watched from its first tick on probation to a verdict.

It hears what the supervisor hears (telemetry twice a second, events) and says what follows:
*kept*, or *rolled back* by the workers. The control loop does nothing for it but what it does
anyway. What is measured, and against what: :mod:`agent.releases.probation`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agent.paths import StateDir
from agent.policy.store import ModelStore
from agent.releases.behaviour import Counts
from agent.releases.owner import ReleasesConfig
from agent.releases.probation import Order, Progress, Recent, Trip, Watch

_KEPT, _ROLLED_BACK, _LEFT = "kept", "rolled back", "left"
_SAVE_EVERY_S = 5.0
_FAILURES = ("policy_hung", "policy_failed", "policy_error", "policy_lost")
"""Of a worker on trial: it takes its model along."""


class Runs(Protocol):
    """What runs the models; :class:`agent.supervisor.workers.PolicyWorkers`."""

    @property
    def generation(self) -> int:
        """The worker of what is current."""

    def give_up(self, reason: str) -> str | None:
        """Roll back to the model before; why that failed, or ``None``."""

    def settle(self) -> None:
        """The worker before is no longer needed."""


class Trial:
    """At most one at a time.

    Args:
        config: What the owner asks.
        fps: Of the control loop.
        state: Where the order and the progress lie.
        store: Says whether the release still is current, and why not.
        emit: Where decisions go.
    """

    def __init__(
        self,
        config: ReleasesConfig,
        *,
        fps: int,
        state: StateDir,
        store: ModelStore,
        emit: Callable[..., None],
    ) -> None:
        self._config = config
        self._needed = round(config.probation_s * fps)
        self._state = state
        self._store = store
        self._emit = emit
        self._usual = Recent()
        self._order: Order | None = None
        self._progress: Progress | None = None
        self._watch: Watch | None = None
        self._current = ""
        self._saved_at = 0.0

    def begins(self, digest: str) -> bool:
        """A model is about to be run: whether it is on probation, with the worker before it kept.

        Called for every model that becomes current; a trial of another one ends here.
        """
        self._current = digest
        left, known = self._order, self._progress
        if self._order is not None and self._order.digest != digest:
            self._leave(self._order)
        order = Order.read(self._state.probation)
        if order is None or order.digest != digest or not self._needed:
            return False
        progress = Progress.read(self._state.probation_progress, order)
        if progress.ended or self._order == order:
            return self._order == order and self._config.keep_previous
        if left is not None and known is not None and left.previous == order.previous:
            # Both are compared with the same model, whose behaviour is known.
            progress.usual = progress.usual or known.usual
        self._order, self._progress, self._watch = order, progress, None
        self._emit(
            "release_on_probation",
            f"release {order.version} is watched for {self._config.probation_s:g} s of driving",
            **self._named(order),
            ticks=progress.ticks,
            of=self._needed,
        )
        return self._config.keep_previous

    def hear_telemetry(self, telemetry: Mapping[str, Any], workers: Runs) -> None:
        """A report of the control loop."""
        counts = Counts.of(telemetry)
        order, progress = self._order, self._progress
        if order is None or progress is None:
            self._usual.note(counts)
            return
        if counts is not None and counts.digest != order.digest:
            if self._watch is None and counts.digest == order.previous:
                # The model before still drives: the release's worker warms up.
                self._usual.note(counts)
            counts = None
        if self._watch is None:
            if counts is None:
                return
            progress.usual = progress.usual or self._usual.usual(order.previous)
            self._watch = Watch(self._config, progress.usual, progress.ticks)
        trip = self._watch.note(counts)
        progress.ticks = self._watch.ticks
        if trip is not None:
            self._roll_back(trip, workers)
        elif progress.ticks >= self._needed:
            self._end(_KEPT)
            workers.settle()
            self._emit(
                "release_kept",
                f"release {order.version} has driven for {self._config.probation_s:g} s",
                **self._named(order),
                ticks=progress.ticks,
                usual=progress.usual and progress.usual.to_json(),
            )
        elif time.monotonic() > self._saved_at + _SAVE_EVERY_S:
            self._save()

    def hear_event(self, event: Mapping[str, Any], workers: Runs) -> None:
        """An event of the agent."""
        kind, data = event["event"], event.get("data", {})
        if self._order is None:
            return
        if kind == "stopped" and self._config.stop_rolls_back:
            if self._watch is not None:
                self._roll_back(Trip(f"stopped: {event['cause']}", {}), workers)
        elif kind in _FAILURES and data.get("generation") == workers.generation:
            self._roll_back(Trip(f"{kind}: {event['cause']}", {}), workers)

    # ---------------------------------------------------------------------------------------

    def _roll_back(self, trip: Trip, workers: Runs) -> None:
        order, progress = self._order, self._progress
        assert order is not None
        assert progress is not None
        # Ended first: what the workers do next makes another model current.
        self._end(_ROLLED_BACK)
        failed = workers.give_up(f"probation: {trip.cause}")
        data = {**self._named(order), "ticks": progress.ticks, **trip.data}
        if failed is None:
            self._emit("release_rolled_back", trip.cause, **data)
        else:
            self._emit("rollback_failed", f"{failed} ({trip.cause})", **data)

    def _leave(self, order: Order) -> None:
        """Another model became current: by a newer release, by an operator, or since it didn't
        load."""
        progress = self._progress
        ticks = 0 if progress is None else progress.ticks
        last = next((e for e in reversed(self._store.history()) if e["event"] == "rollback"), None)
        if last is not None and last["before"] == order.digest and last["time"] >= order.since:
            self._end(_ROLLED_BACK)
            kind, cause = "release_rolled_back", last["reason"] or "by an operator"
        else:
            self._end(_LEFT)
            kind, cause = "release_left", "another model became current before its probation ended"
        self._emit(kind, cause, **self._named(order), ticks=ticks)

    def _end(self, how: str) -> None:
        assert self._progress is not None
        self._progress.ended = how
        self._save()
        self._order = self._progress = self._watch = None

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        if self._progress is not None:
            # A disk that takes nothing costs a restarted agent a longer probation, nothing else.
            with contextlib.suppress(OSError):
                self._progress.write(self._state.probation_progress)

    def _named(self, order: Order) -> dict[str, Any]:
        return {"version": order.version, "digest": order.digest, "previous": order.previous}
