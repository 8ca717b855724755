"""One SO-100/SO-101 follower and its bus, as LeRobot drives it, with what a daemon needs beside:
connecting without letting the arm fall, clearing the line, and letting go whatever is broken.

Everything here that touches private parts of LeRobot 0.6.1 or of the vendor's SDK:
``bus.port_handler`` (``ser``, ``is_using``, ``is_open``, ``closePort``, ``writePort``), and
standing in for ``bus.read``, ``write`` and ``torque_disabled`` while ``configure()`` is asked what
it would write.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import serial

from robots.arm import registers
from robots.errors import DeviceError

logger = logging.getLogger(__name__)

BUS_ERRORS = (OSError, RuntimeError, termios.error, IndexError)
"""What LeRobot's drivers raise: SerialException, ConnectionError and TimeoutError are OSErrors; a
servo's error bit is a RuntimeError; an unplugged port is a termios.error, which is none of these;
the SDK indexes into an answer that was cut short and raises an IndexError."""

_RELEASE_LIMIT_S = 1.0
_LOOKS = 3
_LOOKS_LIMIT = 9
_ALIKE_TICKS = 40
"""Three readings within 3.5°: an arm that sinks from its own weight moves less in so short a
time."""
_CALIBRATION = {
    "homing_offset": "Homing_Offset",
    "range_min": "Min_Position_Limit",
    "range_max": "Max_Position_Limit",
}


class Limb:
    """A follower with a Feetech bus.

    Args:
        prefix: Of its joints' names in the robot: ``""``, ``left_`` or ``right_``.
        follower: LeRobot's, not connected.
    """

    def __init__(self, prefix: str, follower: Any) -> None:
        self.prefix = prefix
        self.follower = follower
        self.bus = follower.bus
        self.stale_answers = 0
        self.asked = 0
        self._count_packets()

    @property
    def joints(self) -> tuple[str, ...]:
        return tuple(self.bus.motors)

    @property
    def port(self) -> str:
        return str(self.bus.port)

    def _count_packets(self) -> None:
        """``asked`` counts what is sent: the SDK's retries show nowhere else."""
        handler = self.bus.port_handler
        write = handler.writePort

        def counted(packet: Any) -> Any:
            self.asked += 1
            return write(packet)

        handler.writePort = counted

    # Connecting ----------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the port, check the calibration, and have every servo hold where it is.

        LeRobot's ``connect`` switches torque off to write its settings, so a raised arm drops for a
        moment each time. Servos that hold and are set up as ``configure`` would do it are left
        alone.

        Raises:
            DeviceError: there is no calibration, or the servos have another one.
            OSError: and others of BUS_ERRORS: the arm doesn't answer as it should.
        """
        try:
            if not self.bus.is_connected:
                self.bus.connect()
                self._keep_others_out()
            self._check_calibration()
            held = self.read("Torque_Enable")
            if all(held.values()) and not self.unconfigured():
                return
            if limp := tuple(joint for joint, on in held.items() if not on):
                # `configure` switches torque on everywhere.
                self.goal_to_present(limp)
            self.follower.configure()
        except BaseException:
            self.close()
            raise

    def _keep_others_out(self) -> None:
        """Nobody else may open the port (but root): LeRobot's own commands take no lock."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.bus.port_handler.ser.fileno(), termios.TIOCEXCL)

    def _check_calibration(self) -> None:
        wanted = self.follower.calibration
        remedy = "Run `armada calibrate` with the same --robot flags"
        if not wanted:
            raise DeviceError(
                f"there is no calibration file {self.follower.calibration_fpath}",
                field="--robot.id",
                value=self.follower.id,
                remedy=remedy,
            )
        differing = set()
        for name, register in _CALIBRATION.items():
            for joint, value in self.read(register).items():
                if joint not in wanted or getattr(wanted[joint], name) != value:
                    differing.add(joint)
        if differing:
            raise DeviceError(
                f"the calibration in the servos differs from the file ({', '.join(differing)})",
                field="--robot.id",
                value=self.follower.id,
                remedy=f"Is it another arm? If not: {remedy[0].lower()}{remedy[1:]}",
            )

    def unconfigured(self) -> list[tuple[str, str, int]]:
        """(register, joint, value) that LeRobot's ``configure`` would change; writes nothing."""
        missing: list[tuple[str, str, int]] = []
        cache: dict[str, dict[str, float]] = {}

        def read(register: str, motor: str, **_: Any) -> float:
            if register not in cache:
                cache[register] = self.read(register)
            return cache[register][motor]

        def compare(register: str, motor: str, value: int, **_: Any) -> None:
            if read(register, motor) != value:
                missing.append((register, motor, value))

        def as_it_is(*_: Any, **__: Any) -> contextlib.AbstractContextManager[None]:
            return contextlib.nullcontext()

        with self._replaced(read=read, write=compare, torque_disabled=as_it_is):
            self.follower.configure()
        return missing

    @contextlib.contextmanager
    def _replaced(self, **methods: Any) -> Iterator[None]:
        for name, method in methods.items():
            setattr(self.bus, name, method)
        try:
            yield
        finally:
            for name in methods:
                delattr(self.bus, name)

    # Reading and writing -------------------------------------------------------------------

    def read(self, register: str, joints: list[str] | None = None) -> dict[str, float]:
        """A register of all servos (or of ``joints``), raw, in one exchange. An alarm in a servo
        doesn't make it fail, as it does LeRobot's ``read``."""
        values: dict[str, float] = self.bus.sync_read(register, joints, normalize=False)
        return values

    def write(self, register: str, values: Mapping[str, int]) -> None:
        """A register of some servos, raw, in one packet that nobody answers."""
        self.bus.sync_write(register, dict(values), normalize=False)

    def goal_to_present(self, joints: tuple[str, ...] | None = None) -> None:
        """Have the goal of (limp) servos be where they are: torque then holds instead of jumping
        to where they were sent long ago."""
        present = self._where(list(joints or self.joints))
        self.write("Goal_Position", {joint: int(value) for joint, value in present.items()})

    def _where(self, joints: list[str]) -> dict[str, float]:
        """Positions that were read alike several times in a row: what is read here once becomes a
        goal, and a sensor's glitch or another question's answer would make the arm jump."""
        seen: list[dict[str, float]] = []
        for _ in range(_LOOKS_LIMIT):
            self.clear_line()
            seen = [*seen[1 - _LOOKS :], self.read("Present_Position", joints)]
            spread = (max(s[j] for s in seen) - min(s[j] for s in seen) for j in joints)
            if len(seen) == _LOOKS and max(spread) <= _ALIKE_TICKS:
                return seen[-1]
        raise ConnectionError(f"the positions of {', '.join(joints)} don't agree with each other")

    def hold_again(self, joints: tuple[str, ...]) -> None:
        """Servos that lost their power get their settings back and hold where they are."""
        for register, joint, value in self.unconfigured():
            if joint in joints:
                self.bus.write(register, joint, value)
        self.goal_to_present(joints)
        self.write("Torque_Enable", dict.fromkeys(joints, 1))
        self.write("Lock", dict.fromkeys(joints, 1))

    def let_go(self) -> None:
        """Torque off on every servo that hears it, past those that don't answer or have an alarm:
        nobody answers a sync write."""
        registers.torque_off(self.bus)
        self.write("Lock", dict.fromkeys(self.joints, 0))

    def silent(self) -> tuple[str, ...]:
        """Joints whose servo doesn't answer a ping; 50 ms each."""
        return tuple(joint for joint in self.joints if not self._answers(joint))

    def _answers(self, joint: str) -> bool:
        self.clear_line()
        try:
            return self.bus.ping(joint) is not None
        except IndexError:
            return False

    # The line ------------------------------------------------------------------------------

    @property
    def plugged(self) -> bool:
        """Whether the port is there and open."""
        handler = self.bus.port_handler
        return bool(handler.is_open) and Path(self.port).exists()

    def clear_line(self) -> bool:
        """Throw away what arrived unasked or too late; whether there was any.

        The SDK never does: an answer that comes after its time-out is taken for that of the next
        question, and from then on every answer is one question old.
        """
        handler = self.bus.port_handler
        # The SDK leaves this set when it is interrupted, and then says "Port is in use!" for ever.
        handler.is_using = False
        if handler.ser is None or not handler.ser.is_open or not handler.ser.in_waiting:
            return False
        handler.ser.reset_input_buffer()
        self.stale_answers += 1
        return True

    def close(self) -> None:
        """Close the port whatever state it is in; torque stays as it is."""
        registers.close(self.bus)

    def release(self, *, torque_off: bool) -> tuple[str, ...]:
        """Let go where asked to, and close the port; the joints that still hold (or don't say)."""
        left: tuple[str, ...] = ()
        if self.bus.is_connected and torque_off:
            left = self.joints
            until = time.monotonic() + _RELEASE_LIMIT_S
            while left and time.monotonic() < until:
                try:
                    self.clear_line()
                    self.let_go()
                    left = tuple(joint for joint in left if self._holds(joint))
                except BUS_ERRORS as error:
                    if is_port_error(error) or not self.plugged:
                        break
        self.close()
        return left

    def _holds(self, joint: str) -> bool:
        try:
            return bool(self.read("Torque_Enable", [joint])[joint])
        except (ConnectionError, IndexError):
            # Silent: without power it holds nothing, and more can't be done for it.
            self.clear_line()
            return False


def is_port_error(error: BaseException) -> bool:
    """Whether the port is gone, and not only an answer."""
    if isinstance(error, serial.SerialException | termios.error):
        return True
    return isinstance(error, OSError) and error.errno is not None


def brief(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
