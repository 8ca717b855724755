"""An arm to oneself while its calibration changes: locked, limp, and as it was if it is broken off.

A calibration begins with resetting the servos, so breaking it off must put back what they had. The
last step, writing the new one, is not interrupted: half of it is worse than either.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any

from lerobot.robots import RobotConfig

from agent.supervisor.locks import ports, take_port
from robots.arm import registers
from robots.arm.calibration import Calibration

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def ports_locked(config: RobotConfig) -> Iterator[None]:
    """Keep agents away from the robot's ports.

    Raises:
        ConfigError: no such port.
        DeviceError: an agent or any other process uses one; says which.
    """
    with contextlib.ExitStack() as stack:
        for flag, port in ports(config, "--robot"):
            stack.callback(os.close, take_port(flag, port))
        yield


@contextlib.contextmanager
def opened(bus: Any, *, handshake: bool = True) -> Iterator[None]:
    """The bus, open; closed in any case. Torque stays as it is.

    Raises:
        DeviceError: the port can't be opened, or a servo is missing.
    """
    try:
        with registers.bus_errors("connecting the arm", bus.port):
            bus.connect(handshake=handshake)
        yield
    finally:
        registers.close(bus)


@contextlib.contextmanager
def limp(bus: Any) -> Iterator[None]:
    """Torque off and the registers of the calibration unlocked; torque is off afterwards as well.

    Raises:
        DeviceError: a servo keeps its torque.
    """
    try:
        registers.torque_off(bus)
        with registers.bus_errors("switching torque off", bus.port):
            bus.disable_torque(num_retry=2)
        yield
    finally:
        with uninterrupted():
            registers.torque_off(bus)


@contextlib.contextmanager
def restored_on_failure(bus: Any) -> Iterator[None]:
    """Whatever ends the block early, Ctrl-C too: the servos get back the calibration they had."""
    with registers.bus_errors("reading the servos' calibration", bus.port):
        before: Calibration = registers.persistently(bus.read_calibration)
    try:
        yield
    except BaseException:
        with uninterrupted():
            _give_back(bus, before)
        raise


def _give_back(bus: Any, before: Calibration) -> None:
    """Each servo by itself: a dead one doesn't keep the others from getting theirs."""
    bus.port_handler.is_using = False
    failed = []
    for motor, values in before.items():
        try:
            registers.persistently(partial(bus.write_calibration, {motor: values}, cache=False))
        except registers.BUS_ERRORS:
            failed.append(motor)
    if failed:
        logger.error(
            "%s could not be given back the calibration: run `armada calibrate --write` before "
            "the arm is used",
            ", ".join(failed),
        )


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and its like wait until the block is over."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            raise KeyboardInterrupt


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """A service manager's SIGTERM and a closed terminal end it as Ctrl-C does, cleaning up."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
