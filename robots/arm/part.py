"""One arm of a robot as its supervision sees it: the limb, its servos' health, and how it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from robots.arm.deadline import deadline
from robots.arm.health import Health
from robots.arm.limb import Limb, brief
from robots.arm.registers import BUS_ERRORS

logger = logging.getLogger(__name__)

EXCHANGE_LIMIT_S = 0.5
"""Three tries of 50 ms for two arms, and room; only a flood of noise takes longer."""


@dataclass
class Part:
    """An arm.

    Args:
        limb: Its driver and bus.
        health: What its servos say.
        silent: Joints that don't answer.
        lost: Whether it has to be connected again.
        poll: Registers polled so far.
    """

    limb: Limb
    health: Health
    silent: tuple[str, ...] = ()
    lost: bool = False
    poll: int = 0

    def named(self, joints: Iterable[str]) -> tuple[str, ...]:
        """The joints' names in the robot."""
        return tuple(self.limb.prefix + joint for joint in joints)

    def attempt(self, action: Callable[[Limb], Any], what: str) -> bool:
        """Do something on the bus, in bounded time; whether it succeeded."""
        try:
            with deadline(EXCHANGE_LIMIT_S):
                action(self.limb)
        except BUS_ERRORS as error:
            logger.warning("%s failed: %s", what, brief(error))
            return False
        return True


@dataclass
class Told:
    """What was reported already: an event per condition, not thirty a second."""

    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    conditions: set[str] = field(default_factory=set)

    def begin(self, kind: str, cause: str, **data: Any) -> None:
        """A condition holds; an event the first time."""
        if kind not in self.conditions:
            self.conditions.add(kind)
            self.events.append((kind, cause, data))

    def end(self, kind: str, event: str, cause: str, **data: Any) -> None:
        """It no longer does; an event when it did."""
        if kind in self.conditions:
            self.conditions.discard(kind)
            self.events.append((event, cause, data))

    def say(self, kind: str, cause: str, **data: Any) -> None:
        self.events.append((kind, cause, data))

    def take(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(kind, cause, data) since the last call."""
        taken, self.events = self.events, []
        return taken
