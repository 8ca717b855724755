"""An emulated arm under LeRobot's unmodified driver, and that under supervision."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from robots.arm.supervised import SupervisedArm
from robots.sim import SO101Sim, SO101SimConfig
from tests.helpers import wait_until

TICK_S = 1 / 60


class Rig:
    """A supervised arm and what a control loop does with it."""

    def __init__(self, robot: SO101Sim) -> None:
        self.robot = robot
        self.arm = SupervisedArm(robot, max_frame_age_s=0.3)
        self.arm.connect()
        self.events: list[tuple[str, str]] = []
        self.seen: dict[str, Any] = {}

    def tick(self) -> dict[str, Any] | None:
        """Observe, hold, look after the servos."""
        began = time.monotonic()
        observation = self.arm.observe()
        if observation is not None:
            self.seen = observation
            self.arm.act({k: v for k, v in observation.items() if k.endswith(".pos")})
        self.arm.poll()
        self.events += [(kind, cause) for kind, cause, _ in self.arm.told.take()]
        time.sleep(max(0.0, TICK_S - (time.monotonic() - began)))
        return observation

    def until(self, condition: Callable[[], object], what: str) -> None:
        def tried() -> object:
            self.tick()
            return condition()

        wait_until(tried, what=what)

    def hear(self, kind: str) -> str:
        """Tick until there is such an event; its cause."""
        self.until(lambda: any(k == kind for k, _ in self.events), f"the event {kind}")
        return next(cause for k, cause in self.events if k == kind)

    def raw(self, register: str) -> dict[str, float]:
        values: dict[str, float] = self.robot.bus.sync_read(register, normalize=False)
        return values

    def torque(self) -> list[bool]:
        """By the plant's account."""
        return [*self.robot.command("account")["torque"].values()]


@pytest.fixture(scope="module")
def powered() -> Iterator[SO101Sim]:
    robot = SO101Sim(SO101SimConfig(id=f"arm{os.getpid()}", num_read_retries=0))
    with robot.powered():
        # The rig's end must not cut the power.
        robot.switch_off, switch_off = lambda: None, robot.switch_off  # type: ignore[method-assign]
        yield robot
        robot.switch_off = switch_off  # type: ignore[method-assign]


@pytest.fixture
def rig(powered: SO101Sim) -> Iterator[Rig]:
    powered.command("mend")
    rig = Rig(powered)
    rig.until(lambda: rig.seen, "readings that agree")
    yield rig
    powered.command("mend")
    rig.arm.release()
