"""Reading a servo's registers when LeRobot's ``bus.read`` would refuse to.

A servo that reports an alarm (overload, heat) sets an error byte in each of its answers, and
``bus.read`` raises on it: the one moment at which its registers are worth reading. Here the answer
and the alarm both come back. Goes through the vendor's SDK as LeRobot does, reads only.
"""

from __future__ import annotations

import contextlib
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lerobot.motors.encoding_utils import decode_sign_magnitude
from lerobot.motors.feetech import FeetechMotorsBus

from robots.arm.health import Alarm
from robots.errors import DeviceError

BUS_ERRORS = (OSError, RuntimeError, ValueError, IndexError, termios.error)
"""What LeRobot's bus and the vendor's SDK raise: ConnectionError and SerialException are OSErrors,
an alarm is a RuntimeError, a number that doesn't fit a register is a ValueError, an answer that was
cut short is an IndexError, an unplugged port is a termios.error."""

_SUCCESS = 0
"""The SDK's COMM_SUCCESS."""

_PAUSES_S = (0.02, 0.08, 0.32)
"""Between attempts. A host that is busy misses answers, and several in a row when it is asked again
at once: who has slept gets a core before who has waited busily, as the SDK does."""

_TRIES = 1 + len(_PAUSES_S)


@dataclass(frozen=True)
class Reading:
    """One answer.

    Args:
        value: The register's value, signed where the servo's is.
        alarms: Bits of ``Alarm``.
    """

    value: int
    alarms: int


def is_feetech(bus: Any) -> bool:
    """Whether the bus is of SO-100/SO-101 servos, whose registers this package knows."""
    return isinstance(bus, FeetechMotorsBus)


def _attempts(tries: int = _TRIES) -> Iterator[int]:
    """Numbers down to 0, for the last one."""
    for left in reversed(range(tries)):
        yield left
        if left:
            time.sleep(_PAUSES_S[min(tries - 1 - left, len(_PAUSES_S) - 1)])


def answers(bus: Any, servo_id: int, tries: int = _TRIES) -> bool:
    """Whether a servo of that id answers a ping, alarm or not."""
    for _ in _attempts(tries):
        # The SDK indexes into an answer that was cut short.
        with contextlib.suppress(IndexError):
            _, result, _ = bus.packet_handler.ping(bus.port_handler, servo_id)
            if result == _SUCCESS:
                return True
    return False


def read(bus: Any, motor: str, register: str) -> Reading | None:
    """A register of a servo by its name in LeRobot's control table; ``None`` without an answer."""
    described = bus.motors[motor]
    address, size = bus.model_ctrl_table[described.model][register]
    handler = bus.packet_handler
    ask = handler.read1ByteTxRx if size == 1 else handler.read2ByteTxRx
    for _ in _attempts():
        with contextlib.suppress(IndexError):
            value, result, alarms = ask(bus.port_handler, described.id, address)
            if result == _SUCCESS:
                bit = bus.model_encoding_table.get(described.model, {}).get(register)
                signed = value if bit is None else decode_sign_magnitude(value, bit)
                return Reading(int(signed), int(alarms))
    return None


def need(bus: Any, motor: str, register: str) -> int:
    """The same, for what can't go on without it.

    Raises:
        DeviceError: the servo doesn't answer; names the joint.
    """
    reading = read(bus, motor, register)
    if reading is None:
        raise DeviceError(
            f"{motor} doesn't answer (id {bus.motors[motor].id}, {register})",
            field="--robot.port",
            value=bus.port,
            remedy="Check its cable and the arm's power; `armada doctor` shows who answers",
        )
    return reading.value


def alarm_names(bits: int) -> list[str]:
    """The alarms in words."""
    return [str(alarm.name).lower() for alarm in Alarm if bits & alarm]


def persistently[T](ask: Callable[[], T]) -> T:
    """LeRobot asks once for each register, and a host that is busy for 50 ms misses the answer.

    Args:
        ask: Of LeRobot's bus; may be done again from the beginning.

    Raises:
        BUS_ERRORS: the last of a few attempts failed too.
    """
    for left in _attempts():
        with contextlib.suppress(*(BUS_ERRORS if left else ())):
            return ask()
    raise AssertionError("the last attempt returns or raises")


@contextlib.contextmanager
def bus_errors(doing: str, port: object) -> Iterator[None]:
    """What the bus raises becomes a DeviceError that says what was being done.

    Raises:
        DeviceError: instead of ``BUS_ERRORS``.
    """
    try:
        yield
    except BUS_ERRORS as error:
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise DeviceError(
            f"{doing} failed: {said}",
            field="--robot.port",
            value=port,
            remedy="`armada doctor` shows which servo answers and which doesn't",
        ) from error


def torque_off(bus: Any) -> None:
    """Let every servo that still hears it go limp; never raises.

    Nobody answers a sync write, so it reaches the living past the dead, and past an exchange that
    was interrupted in the middle.
    """
    for _ in range(3):
        # The SDK leaves this set when it is interrupted, and then says "Port is in use!" for ever.
        bus.port_handler.is_using = False
        with contextlib.suppress(*BUS_ERRORS):
            bus.sync_write("Torque_Enable", 0)


def close(bus: Any) -> None:
    """Close the port, whatever state the bus is in; torque stays as it is. Never raises."""
    with contextlib.suppress(*BUS_ERRORS, AttributeError):
        bus.port_handler.closePort()
    bus.port_handler.is_open = False
    bus.port_handler.is_using = False
