"""Servos that complain: their registers are read in the background, and what they say becomes a
demand on whoever drives.

===============  ========  ====================================================================
complaint        demand    torque
===============  ========  ====================================================================
overload         yield     stays on; the goal comes back to where the joint is, so nothing presses
hot              rest      off, once the arm is in its resting pose; on again below ``COOL_C``
cut_out          hold      the servo took its own away; the others hold
voltage          hold      stays on: a lower load lets the supply recover
sensor           hold      stays on; nobody knows where that joint is
limp             yield     on again, where the joint is: it lost its power and has it back
===============  ========  ====================================================================
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass

from robots.arm.deadline import deadline
from robots.arm.health import ORDER, Finding
from robots.arm.limb import Limb, brief
from robots.arm.part import EXCHANGE_LIMIT_S, Part, Told
from robots.arm.registers import BUS_ERRORS

logger = logging.getLogger(__name__)

POLL_EVERY_S = 0.07
"""Status four times in 0.6 s, each other register once."""

YIELD_S = 1.0

_KINDS = {
    "sensor": "hold",
    "cut_out": "hold",
    "hot": "rest",
    "voltage": "hold",
    "overload": "yield",
    "limp": "yield",
}
_GRAVITY = tuple(_KINDS)
"""Gravest first."""

_OF_REST = ("limp", "hot", "cut_out")


@dataclass(frozen=True)
class Demand:
    """What the servos ask of whoever drives.

    Args:
        kind: ``hold``: keep the goals as they are. ``yield``: let the goals be where the joints
            are, so that nothing presses. ``rest``: go to the resting pose, then let go.
        cause: In words.
        joints: Whose.
        presses: Whether they press on something, which can be let happen only so often.
    """

    kind: str
    cause: str
    joints: tuple[str, ...] = ()
    presses: bool = False


class Care:
    """Looks after the servos of one or two arms.

    Args:
        parts: The arms.
        told: Where events go.
        counts: Where failed polls are counted.
    """

    def __init__(self, parts: list[Part], told: Told, counts: Counter[str]) -> None:
        self.resting = False
        self._held: set[str] = set()
        self._parts = parts
        self._told = told
        self._counts = counts
        self._poll_at = self._yield_until = 0.0
        self._yielding: Demand | None = None

    def poll(self) -> None:
        """Read one register of all servos, if it is time."""
        now = time.monotonic()
        if now < self._poll_at:
            return
        self._poll_at = now + POLL_EVERY_S
        for part in self._parts:
            asked = [joint for joint in part.limb.joints if joint not in part.silent]
            if part.lost or not asked:
                continue
            register = ORDER[part.poll % len(ORDER)]
            part.poll += 1
            try:
                with deadline(EXCHANGE_LIMIT_S):
                    part.health.note(register, part.limb.read(register, asked))
            except BUS_ERRORS as error:
                self._counts["failed_polls"] += 1
                logger.debug("reading %s failed: %s", register, brief(error))
                continue
            self._heed(part)
        self._report()

    def demand(self) -> Demand | None:
        """What the servos ask for now; the gravest of all."""
        found = [self._demanded(part, f) for part in self._parts for f in self._grave(part)]
        if self._yielding is not None and time.monotonic() < self._yield_until:
            found.append(self._yielding)
        if found:
            return min(found, key=lambda d: _GRAVITY.index(d.cause.partition(":")[0]))
        if self.resting and not all(part.health.cool for part in self._parts):
            return Demand("rest", "hot: cooling down")
        return None

    def rest(self) -> None:
        """Torque off, everywhere."""
        self.resting = True
        for part in self._parts:
            part.attempt(lambda limb: limb.let_go(), "letting go")

    def wake(self) -> None:
        """Torque on, at the pose where the arm is; ``resting`` stays set when that failed."""
        done = [
            part.attempt(lambda limb: limb.hold_again(limb.joints), "taking hold again")
            for part in self._parts
        ]
        for part in self._parts:
            part.health.expect_torque()
        self.resting = not all(done)

    def hold_limp(self) -> None:
        """Servos that were silent may have lost their power: torque on where it is off."""
        for part in self._parts:
            if self.resting:
                continue

            def hold(limb: Limb) -> None:
                limp = tuple(joint for joint, on in limb.read("Torque_Enable").items() if not on)
                if limp:
                    self._held.update(limb.prefix + joint for joint in limp)
                    limb.hold_again(limp)

            part.attempt(hold, "holding what lost its power")
            part.health.forget()

    def held(self) -> set[str]:
        """Joints that were taken hold of where they are since the last call: what they were sent
        before no longer says where their goals are."""
        held, self._held = self._held, set()
        return held

    def readings(self) -> dict[str, dict[str, int]]:
        """The newest raw value of each register, by joint."""
        found: dict[str, dict[str, int]] = {}
        for part in self._parts:
            for register, values in part.health.to_json().items():
                found.setdefault(register, {}).update(
                    {part.limb.prefix + joint: value for joint, value in values.items()}
                )
        return found

    # ---------------------------------------------------------------------------------------

    def _grave(self, part: Part) -> list[Finding]:
        found = part.health.findings()
        return [f for f in found if not (self.resting and f.kind in _OF_REST)]

    def _demanded(self, part: Part, finding: Finding) -> Demand:
        cause = f"{finding.kind}: {finding.detail}"
        presses = finding.kind == "overload"
        return Demand(_KINDS[finding.kind], cause, part.named(finding.joints), presses)

    def _heed(self, part: Part) -> None:
        if self.resting and any(part.health.to_json().get("Torque_Enable", {}).values()):
            part.attempt(lambda limb: limb.let_go(), "letting go again")
        for finding in self._grave(part):
            if finding.kind == "limp":
                self._hold_again(part, finding.joints)
            if _KINDS[finding.kind] == "yield":
                self._yield_until = time.monotonic() + YIELD_S
                self._yielding = self._demanded(part, finding)

    def _hold_again(self, part: Part, joints: tuple[str, ...]) -> None:
        self._held.update(part.named(joints))
        part.attempt(lambda limb: limb.hold_again(joints), f"holding {', '.join(joints)} again")
        part.health.expect_torque()

    def _report(self) -> None:
        now: dict[str, str] = {}
        for part in self._parts:
            for finding in self._grave(part):
                now[finding.kind] = f"{', '.join(part.named(finding.joints))}: {finding.detail}"
            if warm := part.health.warm():
                now["warm"] = f"{', '.join(part.named(warm))} is getting hot"
        if self.resting:
            now.setdefault("hot", "the arm rests")
        if self._yielding is not None and time.monotonic() < self._yield_until:
            now.setdefault(self._yielding.cause.partition(":")[0], self._yielding.cause)
        for kind in (*_KINDS, "warm"):
            if kind in now:
                self._told.begin(f"servo_{kind}", now[kind])
            else:
                self._told.end(f"servo_{kind}", "servo_ok", f"{kind} is over")
