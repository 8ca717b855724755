"""A teleoperator under supervision: what goes wrong with a leader arm costs actions, not the loop,
and one that was unplugged is taken up again."""

from __future__ import annotations

import logging
import threading
import time

from lerobot.teleoperators import Teleoperator

from robots.arm import registers
from robots.arm.deadline import deadline
from robots.arm.limb import Limb, brief
from robots.arm.part import EXCHANGE_LIMIT_S
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
        bus = getattr(teleop, "bus", None)
        self._limb = Limb("", teleop) if bus is not None and is_feetech(bus) else None
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
        if self._thread is not None:
            if self._thread.is_alive():
                return None
            self._thread, self._failures = None, 0
        try:
            if self._limb is not None:
                self._limb.clear_line()
            with deadline(EXCHANGE_LIMIT_S):
                action: dict[str, float] = self._teleop.get_action()
        except _ERRORS as error:
            self._failures += 1
            if self._failures == 1:
                logger.warning("the teleoperator failed: %s", brief(error))
            if self._failures >= LOST_AFTER:
                logger.warning("the teleoperator is lost; connecting it again")
                self._thread = threading.Thread(target=self._reconnect, name="leader", daemon=True)
                self._thread.start()
            return None
        self._failures = 0
        return action

    def disconnect(self) -> None:
        """Close it."""
        self._closing.set()
        self._close()

    def _close(self) -> None:
        try:
            if self._teleop.is_connected:
                self._teleop.disconnect()
        except _ERRORS as error:
            logger.info("disconnecting the teleoperator failed: %s", brief(error))
        if self._limb is not None:
            registers.close(self._limb.bus)

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
