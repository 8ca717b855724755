"""One SO-100/SO-101 follower and its bus, as LeRobot drives it, with what a daemon needs beside:
connecting without letting the arm fall, clearing the line, and letting go whatever is broken.

A servo with an alarm says so in each answer, on which LeRobot's ``read``, ``write`` and ``ping``
fail; here everything goes by ``sync_read`` and ``sync_write``, which don't look.

Everything here that touches private parts of LeRobot 0.6.1 or of the vendor's SDK:
``bus.port_handler`` (``ser``, ``is_using``, ``is_open``, ``closePort``, ``writePort``), and having
``configure`` run on a stand-in of the bus to learn what it would write.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import serial

from robots.arm import registers
from robots.arm.deadline import deadline
from robots.arm.registers import BUS_ERRORS
from robots.errors import DeviceError

logger = logging.getLogger(__name__)

_RELEASE_LIMIT_S = 1.0
_TRIES = 3
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
        self.asked = 0
        self.found_holding = False
        """Whether all servos held when the arm was connected last."""
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

    def connect(self, *, hold: bool = True, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Open the port, check the calibration, and have every servo hold where it is.

        LeRobot's ``connect`` switches torque off to write its settings, so a raised arm drops for a
        moment each time. Here no servo that holds is let go: limp ones get their settings and take
        hold where they are, others get the settings they lack while they hold.

        Args:
            hold: Whether limp servos are to take hold; not those of an arm that rests.
            cancelled: Asked before torque is switched on.

        Raises:
            DeviceError: there is no calibration, or the servos have another one.
            OSError: and others of BUS_ERRORS: the arm doesn't answer as it should.
        """
        try:
            if not self.bus.is_connected:
                self.bus.connect(handshake=False)
                self._keep_others_out()
            self._check_servos()
            self._check_calibration()
            torque = self.read("Torque_Enable", tries=_TRIES)
            limp = tuple(joint for joint, on in torque.items() if not on)
            self.found_holding = not limp
            self._set_up(self.joints, unlock=limp)
            if limp and hold and not cancelled():
                self.take_hold(limp)
        except BaseException:
            self.close()
            raise

    def _check_servos(self) -> None:
        """What LeRobot's handshake looks at: who is there, of which model, with which firmware."""
        ids = {joint: motor.id for joint, motor in self.bus.motors.items()}
        absent = [joint for joint, i in ids.items() if not registers.answers(self.bus, i)]
        if absent:
            raise ConnectionError(f"{', '.join(absent)} doesn't answer")
        models = self.read("Model_Number", tries=_TRIES)
        for joint, motor in self.bus.motors.items():
            if models[joint] != self.bus.model_number_table[motor.model]:
                raise ConnectionError(f"{joint} is no {motor.model} (model {models[joint]})")
        major = self.read("Firmware_Major_Version", tries=_TRIES)
        minor = self.read("Firmware_Minor_Version", tries=_TRIES)
        versions = {joint: f"{major[joint]}.{minor[joint]}" for joint in self.joints}
        if len(set(versions.values())) > 1:
            raise ConnectionError(f"the servos have different firmware: {versions}")

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
            for joint, value in self.read(register, tries=_TRIES).items():
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
        dry = _DryBus(self)
        driver = SimpleNamespace(bus=dry, config=self.follower.config)
        type(self.follower).configure(driver)
        return dry.missing

    def _set_up(self, joints: tuple[str, ...], *, unlock: tuple[str, ...]) -> None:
        """Give servos the settings they lack; those that are limp are unlocked, so that they keep
        them over a power cut, as with LeRobot."""
        missing: dict[str, dict[str, int]] = {}
        for register, joint, value in self.unconfigured():
            if joint in joints:
                missing.setdefault(register, {})[joint] = value
        if missing and unlock:
            self.write("Lock", dict.fromkeys(unlock, 0))
        for register, values in missing.items():
            self.write_surely(register, values)

    def take_hold(self, joints: tuple[str, ...]) -> None:
        """Torque on, where they are."""
        self.goal_to_present(joints)
        for _ in range(_TRIES):
            self.write("Torque_Enable", dict.fromkeys(joints, 1))
            # A servo that is too hot refuses; that is for its health to say.
            if all(self.read("Torque_Enable", joints, tries=_TRIES).values()):
                break
        self.write("Lock", dict.fromkeys(joints, 1))

    # Reading and writing -------------------------------------------------------------------

    def read(
        self, register: str, joints: Sequence[str] | None = None, *, tries: int = 1
    ) -> dict[str, float]:
        """A register of all servos (or of ``joints``), raw, in one exchange."""
        asked = None if joints is None else list(joints)
        values: dict[str, float] = self.bus.sync_read(
            register, asked, normalize=False, num_retry=tries - 1
        )
        return values

    def write(self, register: str, values: Mapping[str, int]) -> None:
        """A register of some servos, raw, in one packet that nobody answers."""
        self.bus.sync_write(register, dict(values), normalize=False)

    def write_surely(self, register: str, values: Mapping[str, int]) -> None:
        """The same, read back and repeated.

        Raises:
            ConnectionError: the servos don't keep it.
        """
        for _ in range(_TRIES):
            self.write(register, values)
            if self.read(register, [*values], tries=_TRIES) == values:
                return
        raise ConnectionError(f"{', '.join(values)} didn't take {register}")

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
            seen = [*seen[1 - _LOOKS :], self.read("Present_Position", joints, tries=_TRIES)]
            spread = (max(s[j] for s in seen) - min(s[j] for s in seen) for j in joints)
            if len(seen) == _LOOKS and max(spread) <= _ALIKE_TICKS:
                return seen[-1]
        raise ConnectionError(f"the positions of {', '.join(joints)} don't agree with each other")

    def hold_again(self, joints: tuple[str, ...]) -> None:
        """Servos that lost their power get their settings back and hold where they are."""
        self._set_up(joints, unlock=joints)
        self.take_hold(joints)

    def let_go(self) -> None:
        """Torque off on every servo that hears it, past those that don't answer or have an alarm:
        nobody answers a sync write."""
        registers.torque_off(self.bus)
        self.write("Lock", dict.fromkeys(self.joints, 0))

    def silent(self) -> tuple[str, ...]:
        """Joints whose servo doesn't answer a ping; 50 ms each."""
        return tuple(joint for joint in self.joints if not self.answers(joint))

    def answers(self, joint: str) -> bool:
        """Whether a servo answers; 50 ms when it doesn't."""
        self.clear_line()
        return registers.answers(self.bus, self.bus.motors[joint].id, tries=1)

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
        return True

    def close(self) -> None:
        """Close the port whatever state it is in; torque stays as it is."""
        registers.close(self.bus)

    def release(self, *, torque_off: bool) -> tuple[str, ...]:
        """Let go where asked to, and close the port; the joints that still hold or don't say.

        An arm that was lost may be there again, and servos hear who can't hear them: the port is
        opened once more for it.
        """
        left: tuple[str, ...] = ()
        if torque_off:
            left = self.joints
            until = time.monotonic() + _RELEASE_LIMIT_S
            while left and time.monotonic() < until:
                try:
                    with deadline(_RELEASE_LIMIT_S):
                        if not self.bus.is_connected:
                            self.bus.connect(handshake=False)
                        self.clear_line()
                        self.let_go()
                        left = tuple(joint for joint in left if self._may_hold(joint))
                except BUS_ERRORS:
                    if not self.plugged:
                        break
        self.close()
        return left

    def _may_hold(self, joint: str) -> bool:
        try:
            return bool(self.read("Torque_Enable", [joint])[joint])
        except (ConnectionError, IndexError):
            self.clear_line()
            return True


class _DryBus:
    """What ``configure`` sees of a bus when it is asked what it would write.

    Args:
        limb: Whose servos are read.
    """

    def __init__(self, limb: Limb) -> None:
        self.motors = limb.bus.motors
        self.protocol_version = limb.bus.protocol_version
        self.missing: list[tuple[str, str, int]] = []
        self._limb = limb
        self._seen: dict[str, dict[str, float]] = {}

    def configure_motors(self, *args: Any, **fields: Any) -> None:
        type(self._limb.bus).configure_motors(self, *args, **fields)

    def read(self, register: str, motor: str, **_: Any) -> float:
        if register not in self._seen:
            self._seen[register] = self._limb.read(register, tries=_TRIES)
        return self._seen[register][motor]

    def write(self, register: str, motor: str, value: int, **_: Any) -> None:
        if self.read(register, motor) != value:
            self.missing.append((register, motor, value))

    def torque_disabled(self, *_: Any, **__: Any) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def is_port_error(error: BaseException) -> bool:
    """Whether the port is gone, and not only an answer."""
    if isinstance(error, serial.SerialException | termios.error):
        return True
    return isinstance(error, OSError) and error.errno is not None


def brief(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
