"""From an observation to a goal: who may drive, what is proposed, what the guard lets through.

Holds what was sent last, the pose at start, and the latched stop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.control.arm import Arm, Observation
from agent.control.blend import Blend
from agent.control.guard import Guard
from agent.control.limits import GuardConfig
from agent.control.parking import Parking
from agent.control.peers import Emit
from agent.control.sources import Source
from agent.control.stats import LoopStats
from agent.control.watch import Mode, Watch
from robots.arm.care import Demand

_DOCKED = 1.0
"""In the robot's units, degrees or percent: goals this near to the pose at start are it."""

TELL_EVERY_S = 10.0
_REJOIN_S = 0.5
"""A source that had nothing to say for so long may say something else than before."""

_LEAVE_SLACK_S = 5.0
"""What servos that complain on the way back may cost at the end."""


Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Step:
    """What came of a tick.

    Args:
        proposal: (A,) what the source (or the way to the pose at start) wanted, if anything.
        action: (A,) the goal that holds now; ``None`` while the arm rests without torque.
        trips: The guard's rules that changed it.
    """

    proposal: Vector | None
    action: Vector | None
    trips: tuple[str, ...] = ()


class Driver:
    """Drives the arm.

    Args:
        arm: Connected.
        guard: Its limits.
        safety: When it parks, and how often it may yield.
        source: Drives first.
        stats: Where ticks are counted.
        period_s: Of the control loop.
        park: Whether it may go to the pose at start by itself.
        follow: Compare goals with where the joints are; not for a recording that is played.
        emit: Where events go.
        interrupt: Called, with the reason, when driving ends in a way that spoils an episode.
        home: (A,) the pose at start, when it is known from before this process was restarted;
            ``None``: where the arm is found.
        blend_s: In which a source that takes over comes from where the arm is.
    """

    def __init__(
        self,
        *,
        arm: Arm,
        guard: Guard,
        safety: GuardConfig,
        source: Source,
        stats: LoopStats,
        period_s: float,
        park: bool,
        follow: bool,
        emit: Emit,
        interrupt: Callable[[str], None],
        home: Vector | None = None,
        blend_s: float = 0.0,
    ) -> None:
        self.arm = arm
        self.guard = guard
        self.source = source
        self.park = park
        self.engaged = False
        self.stopped: str | None = None
        self.watch = Watch(safety.max_yields)
        self._stats = stats
        self._follow = follow
        self._emit = emit
        self._interrupt = interrupt
        self._parking = Parking(safety.park_s, period_s)
        self._blend = Blend(blend_s, guard)
        self._blend.begin()
        self._park_after_s = safety.park_after_s
        self._leaving = False
        self._last: Vector | None = None
        self._initial = home
        self._acted_at: float | None = None
        self._idle_since: float | None = None
        self._told: dict[str, float] = {}
        self._demand: Demand | None = None
        self._giving: tuple[tuple[str, ...], Vector | None] = ((), None)
        self._leave_by = math.inf
        self._asked = False

    def step(self, tick: int, observation: Observation) -> Step:
        """One tick: decide, propose, guard, act."""
        now = time.monotonic()
        present = self._pose(observation)
        self._start_from(present)
        mode = self._decide(now)
        self._start_from(present)
        assert self._last is not None
        if mode is Mode.REST:
            if not self.arm.resting:
                self.arm.rest()
            self._last = None
            return Step(None, None)
        proposal = self._propose(mode, tick, observation, present, now)
        if proposal is None:
            wanted = self._instead(mode, present, now)
        elif self._follow and mode is Mode.DRIVE and not self._leaving:
            wanted = self._blend.of(proposal, self._last, now)
        else:
            wanted = proposal
        elapsed = None if self._acted_at is None else now - self._acted_at
        verdict = (
            self.guard.check(wanted, self._last, present, elapsed)
            if self._follow
            else self.guard.check(wanted, self._last)
        )
        self._note_trips(verdict.trips)
        if verdict.action is not None and self.arm.act(verdict.action):
            self._last, self._acted_at = verdict.action, now
        if self._asked:
            self.source.acted(tick, observation)
        return Step(proposal, self._last, tuple(verdict.trips))

    def _start_from(self, present: Vector) -> None:
        if self._last is None:
            self._last = present
        elif held := self.arm.held():
            # The way on begins where they are: the last goal would be a jump.
            anew = np.array([name in held for name in self.arm.layout.action_names])
            self._last = np.where(anew, present, self._last)
        if self._initial is None:
            self._initial = present

    # Orders --------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """Hold, and refuse to move until ``clear``."""
        if self.stopped is None:
            self.stopped = reason
            self.source.reset()
            self._interrupt(reason)
            self._emit("stopped", reason)

    def clear(self) -> None:
        """Release a stop; driving goes on from where the arm is."""
        if self.stopped is not None:
            self._emit("cleared", "the stop was cleared by the operator", stop=self.stopped)
            self.stopped = None
            self.watch.forget()
            self._begin_anew()

    def drive_by(self, source: Source) -> None:
        """Let another source drive."""
        self.source.reset()
        self.source = source
        self.source.reset()
        self.engaged = False
        self._idle_since = None
        self._blend.begin()

    def start_over(self) -> None:
        """The arm was away: drive on from where it is, with nothing planned before."""
        self._last = None
        self._begin_anew()

    def leave(self) -> None:
        """Begin the way to the pose at start, for the last time."""
        self._leaving = True
        self._parking.end()
        now = time.monotonic()
        self._set_out(now)
        self._leave_by = self._parking.limit_s + _LEAVE_SLACK_S + now

    @property
    def goal(self) -> Vector | None:
        """(A,) what was sent last."""
        return self._last

    @property
    def free(self) -> bool:
        """Whether a source may drive."""
        return (
            self.stopped is None
            and not self._leaving
            and self.arm.state == "ok"
            and self.watch.mode is Mode.DRIVE
        )

    @property
    def home(self) -> dict[str, float]:
        """The pose at start, by action name; empty before the arm was seen."""
        if self._initial is None:
            return {}
        return dict(zip(self.guard.names, self._initial.tolist(), strict=True))

    @property
    def docked(self) -> bool:
        """Whether the arm is in its pose at start, or rests."""
        if self.arm.resting:
            return True
        if self._last is None or self._initial is None:
            return False
        return bool(np.allclose(self._last, self._initial, atol=_DOCKED))

    def at_rest(self) -> bool:
        """Whether the way to the pose at start is over, or can't be gone."""
        now = time.monotonic()
        if not self.park or self.stopped is not None or self.arm.resting or now > self._leave_by:
            return True
        if self._initial is None:
            return True
        # An arm that doesn't answer may be back in a moment; let go here, it would fall.
        return self.arm.state == "ok" and self._parking.done(self._last, self._initial, now)

    # ---------------------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        self._acted_at = self._idle_since = None
        self.engaged = False
        self._blend.begin()
        self._parking.end()
        if self._leaving:
            self._set_out(time.monotonic())
        self.source.reset()

    def _set_out(self, now: float) -> None:
        way = None if self._last is None or self._initial is None else self._initial - self._last
        self._parking.begin(now, 0.0 if way is None else self.guard.seconds(way))

    def _decide(self, now: float) -> Mode:
        before = self.watch.mode
        self._demand = self.arm.demand()
        if self._demand is not None and self._demand.kind == "rest" and not self.park:
            # It may not go to its pose at start, and anywhere else it would fall.
            self._demand = replace(self._demand, kind="hold")
        mode = self.watch.decide(
            now,
            stop=self.stopped,
            demand=self._demand,
            resting=self.arm.resting,
            parked=self._parking.done(self._last, self._initial, now),
        )
        if mode is Mode.DRIVE and self.arm.resting:
            self.arm.wake()
            self._last = None
            before = Mode.REST
        if mode is before:
            return mode
        if mode is Mode.DRIVE:
            self._begin_anew()
        elif before is Mode.DRIVE:
            self.source.reset()
            self._interrupt(self.watch.cause)
        if mode is Mode.PARK:
            self._set_out(now)
        if self.stopped is None:
            self._emit("mode", self.watch.cause or "the arm may be driven again", mode=mode.value)
        if (reason := self.watch.wants_stop(now)) is not None:
            self.stop(reason)
        return mode

    def _propose(
        self, mode: Mode, tick: int, observation: Observation, present: Vector, now: float
    ) -> Vector | None:
        self._asked = False
        if mode is Mode.YIELD:
            return self._give_way(present)
        self._giving = ((), None)
        if mode is Mode.HOLD:
            return None
        if mode is Mode.PARK or self._leaving:
            return self._way_back(now) if self.stopped is None else None
        self._asked = True
        proposal = self.source.propose(tick, observation)
        if proposal is not None:
            if self._idle_since is not None and now - self._idle_since > _REJOIN_S:
                self._blend.begin()
            self._stats.driven += 1
            self.engaged = True
            self._idle_since = None
            self._parking.end()
        return proposal

    def _instead(self, mode: Mode, present: Vector, now: float) -> Vector:
        """When nothing is proposed: the last goal again, or after long the way to the pose at
        start."""
        assert self._last is not None
        if mode is not Mode.DRIVE or self._leaving:
            return self.guard.settle(self._last, present) if self._follow else self._last
        if self.engaged:
            self._note_starvation()
        if self._idle_since is None:
            self._idle_since = now
        idle_s = now - self._idle_since
        if not self._park_after_s or idle_s < self._park_after_s or self.source.name == "hold":
            return self._last
        if not self._parking.active:
            self._set_out(now)
            if self.park:
                # It moves without the policy: what it is computing is for another pose.
                self.source.reset()
                self._emit("parked", f"nothing to do for {self._park_after_s:g} s")
        way = self._way_back(now)
        return self._last if way is None else way

    def _note_starvation(self) -> None:
        self._stats.starved += 1
        if self._due("starved"):
            self._emit(
                "starved",
                "no action is planned for this tick: the arm holds",
                ticks=self._stats.starved,
            )

    def _give_way(self, present: Vector) -> Vector:
        """The goals of the joints that press become where they are; the others carry on holding.
        Once for each set of joints: a goal that follows a joint sinks with it."""
        assert self._last is not None
        demand = self._demand
        joints = demand.joints if demand is not None else ()
        if self._giving[0] != joints or self._giving[1] is None:
            named = np.array([name.removesuffix(".pos") in joints for name in self.guard.names])
            self._giving = (joints, np.where(named, present, self._last).astype(np.float32))
        assert self._giving[1] is not None
        return self._giving[1]

    def _way_back(self, now: float) -> Vector | None:
        if not self.park or self._initial is None or self._last is None:
            return None
        return self._parking.action(self._last, self._initial, now)

    def _pose(self, observation: Observation) -> Vector:
        """The present pose as an action: where the arm is when nobody has driven it yet."""
        layout = self.arm.layout
        where = {name: i for i, name in enumerate(layout.state_names)}
        if all(name in where for name in layout.action_names):
            return observation.state[[where[name] for name in layout.action_names]].copy()
        # Data sets with unnamed joints: state and action are the same joints in the same order.
        return observation.state[: len(layout.action_names)].copy()

    def _note_trips(self, trips: dict[str, tuple[str, ...]]) -> None:
        for rule, joints in trips.items():
            self._stats.trips[rule] += 1
            if self._due(rule):
                self._emit("guard", rule, joints=list(joints), ticks=self._stats.trips[rule])

    def _due(self, what: str) -> bool:
        """Whether it is told now: one event and a count, not thirty a second; a policy may lean on
        a limit, or be too slow for its arm, for minutes."""
        now = time.monotonic()
        if now - self._told.get(what, -math.inf) < TELL_EVERY_S:
            return False
        self._told[what] = now
        return True
