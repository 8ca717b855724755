"""The supervised arm: LeRobot's unmodified driver, and what a daemon does when it is not well.

Nothing here raises once the arm is connected, and a tick waits no longer than a few of the SDK's
time-outs, ``EXCHANGE_LIMIT_S`` each at the most:

==========  ===================================================================================
*retry*     an answer was lost, late, damaged or impossible: this tick has no observation, nor have
            the next until the line was quiet (``settling.py``)
*degraded*  some servos don't answer (``DEGRADED_AFTER`` times in a row), or all too late: the arm
            holds, they are asked again ``ASK_EVERY_S``
*lost*      the port is gone or no servo answers: the port is closed and opened again with back-off,
            in a thread; servos that still have power hold by themselves meanwhile
==========  ===================================================================================

Servos that complain are a demand on who drives: see ``care.py``.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from typing import Any

from lerobot.motors.feetech import FeetechMotorsBus
from lerobot.robots import Robot

from robots.arm.cameras import CAMERA_ERRORS, SupervisedCamera, supervise_cameras
from robots.arm.care import Care
from robots.arm.deadline import deadline
from robots.arm.health import Health
from robots.arm.limb import Limb, brief, is_port_error
from robots.arm.motion import Motion
from robots.arm.part import EXCHANGE_LIMIT_S, Part, Told
from robots.arm.parts import followers
from robots.arm.ranges import joint_ranges
from robots.arm.registers import BUS_ERRORS
from robots.arm.settling import Settling
from robots.errors import DeviceError

logger = logging.getLogger(__name__)

DEGRADED_AFTER = 3
"""Failed reads in a row."""

GENERIC_LOST_AFTER = 5
"""The same for a robot whose bus we don't know: only its driver's errors tell."""

ASK_EVERY_S = 0.25
BACK_OFF_S = (0.2, 0.5, 1.0)
"""A port that isn't there costs nothing to ask for."""
_EVENTS = {"ok": "arm_back", "degraded": "arm_degraded", "lost": "arm_lost"}


class SupervisedArm:
    """A robot of one arm or two, or any other of LeRobot's (without what needs a Feetech bus).

    Args:
        robot: Built, not connected.
        max_frame_age_s: Of pictures.
    """

    def __init__(self, robot: Robot, *, max_frame_age_s: float = 0.5) -> None:
        self.robot = robot
        self.state = "ok"
        self.cause = ""
        self.counts: Counter[str] = Counter()
        self.told = Told()
        self._parts = [
            Part(Limb(prefix, follower), Health(tuple(follower.bus.motors)))
            for prefix, follower in followers(robot)
            if isinstance(follower.bus, FeetechMotorsBus)
        ]
        self.care = Care(self._parts, self.told, self.counts)
        owners = [robot, *(part.limb.follower for part in self._parts)]
        self.cameras: dict[str, SupervisedCamera] = supervise_cameras(owners, max_frame_age_s)
        self._motion = Motion({})
        self._failures = 0
        self._ask_at = 0.0
        self._settling = Settling()
        self._thread: threading.Thread | None = None
        self._taken: list[Part] = []
        self._connected_again = False
        self._closing = threading.Event()

    # The beginning -------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect arms and cameras; never asks, and nothing that holds is let go.

        Raises:
            DeviceError: no connection, or another calibration. Nothing was moved.
        """
        self._closing.clear()
        self._taken.clear()
        try:
            self._switch_on()
            if self._parts:
                for part in self._parts:
                    part.limb.connect()
                    self._taken.append(part)
                for camera in self.cameras.values():
                    camera.connect()
            else:
                self._connect_generic()
        except (*BUS_ERRORS, *CAMERA_ERRORS) as error:
            self._give_back()
            raise DeviceError(
                f"the robot can't be connected: {brief(error)}",
                field="--robot.type",
                value=self.robot.name,
                remedy="`armada doctor` says what is missing",
            ) from error
        except BaseException:
            self._give_back()
            raise
        self._motion = Motion(joint_ranges(self.robot))

    @property
    def found_holding(self) -> bool:
        """Whether the arm held itself up when it was connected last."""
        return bool(self._parts) and all(part.limb.found_holding for part in self._parts)

    def _give_back(self) -> None:
        """Leave the arm as it was found: what held goes on holding, in mid-air perhaps."""
        for part in self._taken:
            part.limb.release(torque_off=not part.limb.found_holding)
        self.release(torque_off=False)

    def _switch_on(self) -> None:
        if hasattr(self.robot, "switch_on"):
            self.robot.switch_on()

    def _connect_generic(self) -> None:
        if self.robot.is_connected:
            self.robot.disconnect()
        self.robot.connect(calibrate=False)
        if not self.robot.is_calibrated:
            raise DeviceError(
                "the calibration in the servos differs from the file, or there is none",
                field="--robot.id",
                value=self.robot.id,
                remedy="Run `lerobot-calibrate` with the same --robot flags",
            )

    # Every tick ----------------------------------------------------------------------------

    @property
    def lost(self) -> bool:
        return self.state == "lost"

    def observe(self) -> dict[str, Any] | None:
        """LeRobot's observation, or ``None`` when there is none this tick."""
        if self.state == "lost":
            self._come_back()
            return None
        if self.state == "degraded" and not self._worth_asking():
            return None
        try:
            if self._out_of_step():
                return None
            asked = self._asked()
            with deadline(EXCHANGE_LIMIT_S):
                values: dict[str, Any] = self.robot.get_observation()
        except BUS_ERRORS as error:
            self._failed(error)
            return None
        again = self._asked() - asked > len(self._parts)
        self._settling.note(time.monotonic(), again=again)
        if self._settling.late:
            self._ask_at = time.monotonic() + ASK_EVERY_S
            self._set_state("degraded", "the answers come too late")
            return None
        if worst := self._motion.impossible(values):
            self.counts["impossible_positions"] += 1
            logger.warning("%s can't have moved so far since the last tick", worst)
            return None
        self._failures = 0
        if self._parts and not self._motion.known:
            # The first reading may be a wrong one, and where it is is where driving begins.
            return None
        if self.state == "degraded":
            # Was it its cable, or its power? Then it is limp.
            for part in self._parts:
                part.silent = ()
            self.care.hold_limp()
            self._set_state("ok", "all servos answer again")
        self._look_at_cameras()
        return values

    def _worth_asking(self) -> bool:
        """Whether a degraded arm may be whole again: its first silent servo is asked, for one
        time-out instead of those of a whole observation."""
        if time.monotonic() < self._ask_at:
            return False
        try:
            with deadline(EXCHANGE_LIMIT_S):
                asked = [part for part in self._parts if part.silent and not part.lost]
                if all(part.limb.answers(part.silent[0]) for part in asked):
                    return True
        except BUS_ERRORS as error:
            self._failed(error)
        self._ask_at = time.monotonic() + ASK_EVERY_S
        return False

    def act(self, action: dict[str, float]) -> bool:
        """Send goals; whether the driver took them."""
        if self.state != "ok" or self.care.resting:
            return False
        try:
            with deadline(EXCHANGE_LIMIT_S):
                self.robot.send_action(action)
        except BUS_ERRORS as error:
            self._failed(error)
            return False
        return True

    def poll(self) -> None:
        """Look after the servos, those also whose neighbours don't answer; call once a tick, after
        acting."""
        if self._settling.waits(time.monotonic()):
            return
        failed = self.counts["failed_polls"]
        self.care.poll()
        if self.counts["failed_polls"] > failed:
            self._settling.doubt(time.monotonic())

    def _out_of_step(self) -> bool:
        """Clear the line; whether an answer to an earlier question may still come."""
        stale = [part.limb.clear_line() for part in self._parts if part.limb.plugged]
        self.counts["stale_answers"] += sum(stale)
        return self._settling.waits(time.monotonic(), stale=any(stale))

    def _asked(self) -> int:
        return sum(part.limb.asked for part in self._parts)

    # Answers that fail ---------------------------------------------------------------------

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self.counts["failed_exchanges"] += 1
        self._settling.doubt(time.monotonic())
        if self._failures == 1:
            logger.warning("an exchange with the arm failed: %s", brief(error))
        if not self._parts:
            if self._failures >= GENERIC_LOST_AFTER:
                self._set_state("lost", brief(error))
        elif is_port_error(error) or self._failures >= DEGRADED_AFTER:
            self._diagnose(error)

    def _diagnose(self, error: Exception) -> None:
        self._ask_at = time.monotonic() + ASK_EVERY_S
        silent: list[str] = []
        for part in self._parts:
            part.lost = not part.limb.plugged
            if part.lost:
                continue
            try:
                with deadline(EXCHANGE_LIMIT_S):
                    part.silent = part.limb.silent()
            except BUS_ERRORS:
                part.silent = part.limb.joints
            part.lost = part.silent == part.limb.joints
            silent += part.named(part.silent)
        if any(part.lost for part in self._parts):
            for part in self._parts:
                if part.lost:
                    part.limb.close()
            self._set_state("lost", brief(error))
        elif silent:
            self._set_state("degraded", f"{', '.join(silent)} doesn't answer")
        elif self._failures > 2 * DEGRADED_AFTER:
            self._set_state("degraded", f"every servo answers a ping, but: {brief(error)}")

    # Away and back -------------------------------------------------------------------------

    def _come_back(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._reconnect, name="reconnect", daemon=True)
            self._thread.start()
        elif not self._thread.is_alive():
            self._thread = None
            if not self._connected_again:
                logger.error("connecting again ended without a result; trying anew")
                return
            self._connected_again = False
            self._failures = 0
            self._motion.forget()
            for part in self._parts:
                part.silent = ()
                part.health.forget(keep_heat=self.care.resting)
            self._set_state("ok", "the arm answers again")

    def _reconnect(self) -> None:
        attempt = 0
        while not self._closing.wait(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)]):
            attempt += 1
            try:
                self._switch_on()
                if not self._parts:
                    self._connect_generic()
                for part in self._parts:
                    if part.lost:
                        part.limb.connect(
                            hold=not self.care.resting, cancelled=self._closing.is_set
                        )
                        part.lost = False
            except (*BUS_ERRORS, *CAMERA_ERRORS, DeviceError) as error:
                logger.info("the arm is still away: %s", brief(error))
                if isinstance(error, DeviceError):
                    self.told.begin("arm_refused", str(error))
            else:
                self._connected_again = True
                return

    def _set_state(self, state: str, cause: str) -> None:
        self.cause = cause
        if state != self.state:
            self.state = state
            self.told.conditions.discard("arm_refused")
            self.told.say(_EVENTS[state], cause)

    def _look_at_cameras(self) -> None:
        for name, camera in self.cameras.items():
            camera.moved(self._motion.share)
            for fault in ("lost", "stale", "black", "frozen"):
                key = f"camera_fault {name} {fault}"
                if camera.fault == fault and key not in self.told.conditions:
                    self.told.conditions.add(key)
                    self.told.say("camera_fault", f"{name} is {fault}", camera=name, fault=fault)
                elif camera.fault != fault:
                    over = f"{name} is no longer {fault}"
                    self.told.end(key, "camera_back", over, camera=name, fault=fault)

    # The end -------------------------------------------------------------------------------

    def release(self, *, torque_off: bool = True) -> tuple[str, ...]:
        """Let go: torque off where the driver's configuration says so, port and cameras closed.

        Whatever part fails, the others are still tried: LeRobot's ``disconnect`` stops at the first
        dead servo, which leaves the others torqued and the port open.

        Args:
            torque_off: ``False``: only close, whatever the configuration says.

        Returns:
            Joints that should have been let go and still hold, or don't say.
        """
        left: tuple[str, ...] = ()
        self._closing.set()
        if self._thread is not None:
            self._thread.join(2.0)
        for part in self._parts:
            config = part.limb.follower.config
            wanted = torque_off and getattr(config, "disable_torque_on_disconnect", True)
            left += part.named(part.limb.release(torque_off=bool(wanted)))
        for camera in self.cameras.values():
            with contextlib.suppress(*CAMERA_ERRORS):
                camera.disconnect()
        if not self._parts and self.robot.is_connected:
            try:
                self.robot.disconnect()
            except BUS_ERRORS as error:
                logger.warning("disconnecting failed: %s", brief(error))
        if hasattr(self.robot, "switch_off"):
            self.robot.switch_off()
        return left
