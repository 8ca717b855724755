"""The arm as the control loop uses it: vectors in, vectors out, over ``robots.arm.supervised``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lerobot.robots import Robot
from numpy.typing import NDArray

from agent.ipc import FrameLayout
from robots.arm.care import Demand
from robots.arm.ranges import JointRange, joint_ranges
from robots.arm.supervised import SupervisedArm
from robots.success import ChecksSuccess

_CLOCKS_APART_S = 0.05
"""A picture that is seen again must have the time that it had: the difference of the two clocks is
taken anew only when one of them was set."""

_OLD_S = 1e6
"""A camera that has not given a picture yet."""


@dataclass(frozen=True)
class Observation:
    """One look at the robot.

    Args:
        state: (S,) float32 in the robot's units, in the layout's order; finite.
        images: Camera key → uint8 (H, W, C), RGB.
        time_s: When it was taken, seconds since the epoch.
        blind: Camera → what is wrong with its picture (lost, stale, black, frozen).
        taken_s: Camera → when its picture was taken, seconds since the epoch; a picture that is
            older than the look before is the same again.
    """

    state: NDArray[np.float32]
    images: dict[str, NDArray[np.uint8]]
    time_s: float
    blind: dict[str, str] = field(default_factory=dict)
    taken_s: dict[str, float] = field(default_factory=dict)


class Arm:
    """A LeRobot robot under supervision.

    Args:
        robot: Built, not connected.
        layout: Its features.
        max_frame_age_s: Older pictures are *stale*.
    """

    def __init__(self, robot: Robot, layout: FrameLayout, *, max_frame_age_s: float = 0.5) -> None:
        self._robot = robot
        self._arm = SupervisedArm(robot, max_frame_age_s=max_frame_age_s)
        self.layout = layout
        self._values: dict[str, Any] | None = None
        self._epoch_s = time.time() - time.perf_counter()

    def connect(self) -> None:
        """Connect and check the calibration.

        Raises:
            DeviceError: no connection, or a calibration that differs. The arm was not moved.
        """
        self._arm.connect()

    @property
    def state(self) -> str:
        """``ok``, ``degraded`` (some servos are silent) or ``lost``."""
        return self._arm.state

    @property
    def finished(self) -> bool:
        """Whether a recording that is played has come to its end; an arm never does."""
        return bool(getattr(self._robot, "finished", False))

    def recorded(self) -> tuple[int, NDArray[np.float32]]:
        """Of a recording that is played: the episode, and the action (A,) that was recorded with
        the last observation."""
        episode, _ = self._robot.position
        action: NDArray[np.float32] = self._robot.recorded_action()
        return episode, action

    def ranges(self) -> dict[str, JointRange]:
        """Action name → range, for the joints that state one."""
        return joint_ranges(self._robot)

    def observe(self) -> Observation | None:
        """Read joints and cameras; ``None`` when there is nothing to believe this tick."""
        self._values = values = self._arm.observe()
        if values is None:
            return None
        state = np.array([values[name] for name in self.layout.state_names], np.float32)
        if not np.isfinite(state).all():
            return None
        images = {spec.key: values[spec.key] for spec in self.layout.images}
        now = time.time()
        epoch_s = now - time.perf_counter()
        if abs(epoch_s - self._epoch_s) > _CLOCKS_APART_S:
            self._epoch_s = epoch_s
        blind = {name: c.fault for name, c in self._arm.cameras.items() if c.fault}
        taken = {
            name: self._epoch_s + camera.taken_s
            for name, camera in self._arm.cameras.items()
            if camera.age_s < _OLD_S
        }
        return Observation(state, images, now, blind, taken)

    def success(self) -> bool | None:
        """Whether the task is done, by the robot's own check; ``None``: it can't say."""
        if self._values is None or not isinstance(self._robot, ChecksSuccess):
            return None
        return self._robot.success(self._values)

    def act(self, action: NDArray[np.float32]) -> bool:
        """Send an action (A,); whether the driver took it."""
        return self._arm.act(dict(zip(self.layout.action_names, action.tolist(), strict=True)))

    def poll(self) -> None:
        """Look after the servos; once a tick, after acting."""
        self._arm.poll()

    def demand(self) -> Demand | None:
        """What the servos ask of whoever drives."""
        return self._arm.care.demand()

    def held(self) -> set[str]:
        """Actions whose joints were taken hold of where they are since the last call."""
        return {f"{joint}.pos" for joint in self._arm.care.held()}

    @property
    def resting(self) -> bool:
        """Whether it was let go to cool down."""
        return self._arm.care.resting

    def rest(self) -> None:
        """Torque off."""
        self._arm.care.rest()

    def wake(self) -> None:
        """Torque on, where the arm is."""
        self._arm.care.wake()

    def events(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        """(kind, cause, data) since the last call."""
        return self._arm.told.take()

    def to_json(self) -> dict[str, Any]:
        """For telemetry: how it is, what its servos say, and what went wrong how often."""
        return {
            "arm": "resting" if self.resting else self.state,
            "arm_cause": self._arm.cause if self.state != "ok" else "",
            "servos": self._arm.care.readings(),
            "exchanges": {k: v for k, v in self._arm.counts.items() if v},
            "cameras": {
                name: {
                    "fault": c.fault,
                    "age_ms": round(c.age_s * 1e3, 1) if c.age_s < 1e6 else None,
                    "reconnects": c.reconnects,
                }
                for name, c in self._arm.cameras.items()
            },
        }

    @property
    def found_holding(self) -> bool:
        """Whether the arm held itself up when it was connected last."""
        return self._arm.found_holding

    def release(self, *, torque_off: bool = True) -> tuple[str, ...]:
        """Let go, whatever is broken; port and cameras closed. The joints that may still hold."""
        return self._arm.release(torque_off=torque_off)
