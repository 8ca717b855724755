"""A teleoperator under supervision: what goes wrong with a leader arm costs actions, not the loop,
and one that was unplugged is taken up again.

One with motors (LeRobot's SO leaders have a follower's servos) can be held and moved, so that it is
where the follower is when a hand takes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from lerobot.teleoperators import Teleoperator

from robots.arm import registers
from robots.arm.deadline import deadline
from robots.arm.limb import Limb, brief
from robots.arm.part import EXCHANGE_LIMIT_S
from robots.arm.parts import followers
from robots.arm.registers import BUS_ERRORS, is_feetech
from robots.errors import ArmadaError, DeviceError

logger = logging.getLogger(__name__)

LOST_AFTER = 10
"""Failed readings in a row."""

BACK_OFF_S = (0.2, 0.5, 1.0)

_ERRORS = (*BUS_ERRORS, ArmadaError)


class Leader:
    """A LeRobot teleoperator.

    Args:
        teleop: Built, not connected.
    """

    def __init__(self, teleop: Teleoperator) -> None:
        self._teleop = teleop
        self._limbs = [
            Limb(prefix, arm) for prefix, arm in followers(teleop) if is_feetech(arm.bus)
        ]
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def connect(self) -> None:
        """Connect without a prompt.

        Raises:
            DeviceError: no connection, or not calibrated.
        """
        self._closing.clear()
        try:
            self._teleop.connect(calibrate=False)
        except _ERRORS as error:
            raise DeviceError(
                f"the teleoperator can't be connected: {brief(error)}",
                field="--teleop.type",
                value=self._teleop.name,
            ) from error
        if not self._teleop.is_calibrated:
            raise DeviceError(
                "the teleoperator isn't calibrated",
                field="--teleop.id",
                value=self._teleop.id,
                remedy="Run `lerobot-calibrate` with the same --teleop flags",
            )

    @property
    def lost(self) -> bool:
        """Whether it waits to be connected again."""
        return self._thread is not None

    def read(self) -> dict[str, float] | None:
        """Its action by name; ``None`` when there is none."""
        if not self._there():
            return None
        action: dict[str, float] = {}

        def ask() -> None:
            action.update(self._teleop.get_action())

        if self._attempt(ask):
            self._failures = 0
            return action
        self._failures += 1
        if self._failures >= LOST_AFTER:
            logger.warning("the teleoperator is lost; connecting it again")
            self._thread = threading.Thread(target=self._reconnect, name="leader", daemon=True)
            self._thread.start()
        return None

    # Motors --------------------------------------------------------------------------------

    @property
    def has_motors(self) -> bool:
        """Whether it can be held and moved, as LeRobot tells it."""
        return bool(self._teleop.feedback_features) and all(
            hasattr(self._teleop, name) for name in ("enable_torque", "disable_torque")
        )

    def hold(self) -> bool:
        """Torque on, where it is; whether it took."""

        def take_hold() -> None:
            for limb in self._limbs:
                limb.take_hold(limb.joints)
            if not self._limbs:
                # With torque on first it would set out for where it was sent last.
                self._teleop.send_feedback(self._teleop.get_action())
                self._teleop.enable_torque()

        return self._there() and self._attempt(take_hold)

    def move(self, goal: dict[str, float]) -> bool:
        """Send a held one somewhere, by the names of its action; whether it was told."""
        return self._there() and self._attempt(lambda: self._teleop.send_feedback(goal))

    def let_go(self) -> bool:
        """Torque off: it is in somebody's hand, or lies down."""

        def let_go() -> None:
            for limb in self._limbs:
                limb.let_go()
            if not self._limbs:
                self._teleop.disable_torque()

        return self._there() and self._attempt(let_go)

    # The end, and beginning again ----------------------------------------------------------

    def disconnect(self) -> None:
        """Close it; one with motors lets go."""
        self._closing.set()
        self._close()

    def _there(self) -> bool:
        if self._thread is not None:
            if self._thread.is_alive():
                return False
            self._thread, self._failures = None, 0
        return True

    def _attempt(self, exchange: Callable[[], Any]) -> bool:
        """Do something on its bus, in bounded time; whether it succeeded."""
        try:
            for limb in self._limbs:
                limb.clear_line()
            with deadline(EXCHANGE_LIMIT_S):
                exchange()
        except _ERRORS as error:
            if self._failures == 0:
                logger.warning("the teleoperator failed: %s", brief(error))
            return False
        return True

    def _close(self) -> None:
        try:
            if self._teleop.is_connected:
                self._teleop.disconnect()
        except _ERRORS as error:
            logger.info("disconnecting the teleoperator failed: %s", brief(error))
        for limb in self._limbs:
            registers.close(limb.bus)

    def _reconnect(self) -> None:
        attempt = 0
        while not self._closing.is_set():
            self._close()
            try:
                self.connect()
            except DeviceError as error:
                logger.info("%s", error)
                time.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
                attempt += 1
            else:
                return
