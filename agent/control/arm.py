"""The arm as the control loop uses it: vectors in, vectors out, and no surprises at connect.

Wraps any LeRobot ``Robot``. Never asks a question on a terminal: a calibration that is missing or
differs is refused. A read or write that fails costs the tick, not the loop; after ``LOST_AFTER``
failed reads in a row the arm counts as lost and is reconnected with back-off.
"""

from __future__ import annotations

import contextlib
import logging
import termios
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from lerobot.robots import Robot
from numpy.typing import NDArray

from agent.ipc import FrameLayout
from robots.errors import DeviceError

logger = logging.getLogger(__name__)

LOST_AFTER = 5
"""Failed reads in a row, each already retried by the driver: about a second of silence."""

_RELEASE_TRIES = 3

BACK_OFF_S = (0.5, 1.0, 2.0, 5.0)

_BUS_ERRORS = (OSError, RuntimeError, termios.error, IndexError)
"""What LeRobot's drivers and cameras raise: SerialException, ConnectionError and TimeoutError are
OSErrors; a servo's error bit and an unplugged camera are RuntimeErrors; an unplugged port is a
termios.error, which is none of these; the vendor's SDK indexes into an answer that was cut short
and raises an IndexError."""


@dataclass(frozen=True)
class Observation:
    """One look at the robot.

    Args:
        state: (S,) float32 in the robot's units, in the layout's order.
        images: Camera key → uint8 (H, W, C), RGB.
        time_s: When it was taken, seconds since the epoch.
    """

    state: NDArray[np.float32]
    images: dict[str, NDArray[np.uint8]]
    time_s: float


class Arm:
    """A connected LeRobot robot.

    Args:
        robot: Built, not connected.
        layout: Its features.
    """

    def __init__(self, robot: Robot, layout: FrameLayout) -> None:
        self._robot = robot
        self.layout = layout
        self._failures = 0
        self._attempts = 0
        self._retry_at = 0.0
        self._lost = False

    def connect(self) -> None:
        """Connect and check the calibration.

        Raises:
            DeviceError: no connection, or a calibration that differs from the file. The arm was
                not moved.
        """
        try:
            self._robot.connect(calibrate=False)
        except (*_BUS_ERRORS, ValueError) as error:
            self.release()
            raise DeviceError(
                f"the robot can't be connected: {_brief(error)}",
                field="--robot.type",
                value=self._robot.name,
                remedy="`armada doctor` says what is missing",
            ) from error
        if not self._robot.is_calibrated:
            self.release()
            raise DeviceError(
                "the calibration in the servos differs from the file, or there is none",
                field="--robot.id",
                value=self._robot.id,
                remedy="Run `lerobot-calibrate` with the same --robot flags",
            )

    def is_lost(self) -> bool:
        """Whether the arm stopped answering and waits to be reconnected."""
        return self._lost

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

    def limits(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(A,) lower and upper ends of the joints' ranges; ±inf where the robot states none."""
        ranges = joint_ranges(self._robot)
        low = [ranges.get(name, (-np.inf, np.inf))[0] for name in self.layout.action_names]
        high = [ranges.get(name, (-np.inf, np.inf))[1] for name in self.layout.action_names]
        return np.array(low, np.float32), np.array(high, np.float32)

    def observe(self) -> Observation | None:
        """Read joints and cameras; ``None`` when that failed (``is_lost``: for good)."""
        try:
            values = self._robot.get_observation()
        except _BUS_ERRORS as error:
            self._failures += 1
            if self._failures == 1 or self._failures == LOST_AFTER:
                logger.warning("observing failed (%d in a row): %s", self._failures, _brief(error))
            if self._failures >= LOST_AFTER:
                self._lost = True
            return None
        self._failures = 0
        state = np.array([values[name] for name in self.layout.state_names], np.float32)
        images = {spec.key: values[spec.key] for spec in self.layout.images}
        return Observation(state, images, time.time())

    def act(self, action: NDArray[np.float32]) -> bool:
        """Send an action (A,); whether the driver took it."""
        values = dict(zip(self.layout.action_names, action.tolist(), strict=True))
        try:
            self._robot.send_action(values)
        except _BUS_ERRORS as error:
            logger.warning("sending an action failed: %s", _brief(error))
            return False
        return True

    def reconnect(self) -> bool:
        """Try to get a lost arm back, at most as often as the back-off allows."""
        if time.monotonic() < self._retry_at:
            return False
        wait_s = BACK_OFF_S[min(self._attempts, len(BACK_OFF_S) - 1)]
        self._attempts += 1
        self.release()
        try:
            self.connect()
        except DeviceError as error:
            logger.warning("%s", error)
            self._retry_at = time.monotonic() + wait_s
            return False
        self._lost, self._failures, self._attempts = False, 0, 0
        return True

    def release(self) -> None:
        """Let go: torque off where the driver's configuration says so, port and cameras closed.

        Whatever part fails, the others are still tried: LeRobot's ``disconnect`` stops at the first
        dead servo, which leaves the others torqued and the port open.
        """
        self._try_disconnect(self._robot)
        bus = getattr(self._robot, "bus", None)
        if bus is not None and bus.is_connected:
            config = getattr(self._robot, "config", None)
            _force_close(bus, release=getattr(config, "disable_torque_on_disconnect", True))
        for camera in getattr(self._robot, "cameras", {}).values():
            self._try_disconnect(camera)

    def _try_disconnect(self, part: Any) -> None:
        if not part.is_connected:
            return
        try:
            part.disconnect()
        except _BUS_ERRORS as error:
            logger.warning("disconnecting %s failed: %s", type(part).__name__, _brief(error))


def _force_close(bus: Any, *, release: bool) -> None:
    """Close a bus that LeRobot could not: torque off for whoever still hears it, then the port."""
    port = bus.port_handler
    if release:
        for _ in range(_RELEASE_TRIES):
            port.is_using = False
            # Nobody answers a sync write, so it reaches the living past the dead.
            with contextlib.suppress(*_BUS_ERRORS):
                bus.sync_write("Torque_Enable", 0)
    with contextlib.suppress(*_BUS_ERRORS):
        port.closePort()
    port.is_open = False
    # The SDK leaves this set when it is interrupted, and then says "Port is in use!" for ever.
    port.is_using = False


def joint_ranges(robot: Robot) -> dict[str, tuple[float, float]]:
    """Action name → (low, high) in the robot's units, for what the robot states.

    SO-100/SO-101 state it by their calibration: −100..100 (or 0..100 for the gripper) by
    definition, or half the calibrated span to either side in degrees.
    """
    bus = getattr(robot, "bus", None)
    if bus is None or not getattr(bus, "calibration", None):
        return {}
    ranges = {}
    for name, motor in bus.motors.items():
        mode = motor.norm_mode.value
        if mode == "range_0_100":
            low, high = 0.0, 100.0
        elif mode == "range_m100_100":
            low, high = -100.0, 100.0
        else:
            calibration = bus.calibration[name]
            top = bus.model_resolution_table[motor.model] - 1
            high = (calibration.range_max - calibration.range_min) / 2 * 360 / top
            low = -high
        ranges[f"{name}.pos"] = (low, high)
    return ranges


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
