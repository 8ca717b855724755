"""The guard between any source of actions and the arm: finite, in range, in reach, in steps. Always
on.

Pure: no clock, no arm, no state but the limits. Whatever it is given, what it lets through is
finite, and each joint is at most one step from the goal before; within that, it is inside the joint
range less the margin and no further ahead of where the joint is than allowed. (A goal that lies
outside already, as when the arm is switched on beyond its range, comes back by steps.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.control.limits import GuardConfig
from robots.arm.ranges import JointRange
from robots.errors import ConfigError

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Verdict:
    """What may be sent.

    Args:
        action: (A,) float32, safe; ``None``: there is nothing safe to send, the servos hold.
        trips: Rule → names of the joints for which it changed the action; empty: untouched.
    """

    action: Vector | None
    trips: dict[str, tuple[str, ...]]


class Guard:
    """Limits for the joints of one robot.

    Args:
        names: A action names.
        ranges: Action name → range; a joint that states none is only kept finite.
        period_s: Of the control loop.
        config: How much of the ranges is allowed.

    Raises:
        ConfigError: an empty or reversed range.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        ranges: Mapping[str, JointRange],
        period_s: float,
        config: GuardConfig,
    ) -> None:
        self.names = names
        self.period_s = period_s
        low, high, step, speed, lead, slack = (np.full(len(names), np.inf) for _ in range(6))
        low = -low
        for i, name in enumerate(names):
            if name not in ranges:
                continue
            span = ranges[name].high - ranges[name].low
            if not (np.isfinite(span) and span > 0):
                raise ConfigError(
                    "the joint's range is empty",
                    field=name,
                    value=span,
                    remedy="Calibrate the arm again: `armada calibrate`",
                )
            limits = config.of(name)
            share = span / 100
            low[i] = ranges[name].low + limits.margin_percent * share
            high[i] = ranges[name].high - limits.margin_percent * share
            step[i], speed[i] = limits.step_percent * share, limits.speed_percent * share
            lead[i], slack[i] = limits.lead_percent * share, limits.hold_percent * share
        self.low, self.high, self.step, self.speed, self.lead = low, high, step, speed, lead
        self.slack = slack

    def settle(self, goal: Vector, present: Vector) -> Vector:
        """(A,) the goals of an arm that holds: where they were, but no further from the joints than
        holding needs, so that nothing that is in the way is pressed on, or sprung at when it goes.
        """
        return np.clip(goal, present - self.slack, present + self.slack).astype(np.float32)

    def seconds(self, way: Vector) -> float:
        """How long a way (A,) takes at full speed, s."""
        with np.errstate(invalid="ignore"):
            times = np.abs(way) / np.minimum(self.speed, self.step / self.period_s)
        return float(np.nan_to_num(times).max(initial=0.0))

    def max_step(self, elapsed_s: float) -> NDArray[np.float64]:
        """(A,) how far goals may move when the last was sent ``elapsed_s`` ago: a tick that came
        late doesn't make up for the way it missed."""
        within = min(max(elapsed_s, 0.0), self.period_s) if np.isfinite(elapsed_s) else 0.0
        return np.asarray(np.minimum(self.step, self.speed * within), np.float64)

    def check(
        self,
        action: NDArray[np.floating],
        previous: Vector,
        present: Vector | None = None,
        elapsed_s: float | None = None,
    ) -> Verdict:
        """Make an action safe to send.

        Args:
            action: (A,) what is proposed, the robot's units.
            previous: (A,) what was sent last (or where the arm was found).
            present: (A,) where the joints are; ``None``: not compared.
            elapsed_s: Since ``previous`` was sent; ``None``: one period.
        """
        trips: dict[str, tuple[str, ...]] = {}
        wanted = np.asarray(action, np.float64)
        before = np.asarray(previous, np.float64)
        if present is not None:
            before = np.where(np.isfinite(before), before, present)
        if not np.isfinite(before).all():
            return Verdict(None, {"nowhere to start from": self._named(~np.isfinite(before))})
        if (broken := ~np.isfinite(wanted)).any():
            trips["not finite"] = self._named(broken)
            wanted = np.where(broken, before, wanted)
        ranged = np.clip(wanted, self.low, self.high)
        if (outside := ranged != wanted).any():
            trips["out of range"] = self._named(outside)
        reached = ranged
        if present is not None:
            here = np.where(np.isfinite(present), present, before)
            reached = np.clip(ranged, here - self.lead, here + self.lead)
            if (ahead := reached != ranged).any():
                trips["too far ahead of the joint"] = self._named(ahead)
            reached = np.clip(reached, self.low, self.high)
        step = self.max_step(self.period_s if elapsed_s is None else elapsed_s)
        # Last, so that nothing above can make a jump of what it corrects.
        stepped = np.clip(reached, before - step, before + step)
        if (jumped := stepped != reached).any():
            trips["step too large"] = self._named(jumped)
        most = float(np.finfo(np.float32).max)
        return Verdict(np.clip(stepped, -most, most).astype(np.float32), trips)

    def _named(self, mask: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(name for name, hit in zip(self.names, mask, strict=True) if hit)
