"""A calibration in two places: LeRobot's file on this host and the registers of the servos.

Format of the file: LeRobot's, draccus-dumped JSON of joint → ``MotorCalibration``; all positions
and offsets in ticks, 4096 to a turn.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import draccus
from lerobot.motors import MotorCalibration

from robots.arm import registers
from robots.errors import ConfigError, DeviceError

Calibration = dict[str, MotorCalibration]

FULL_TURN = "wrist_roll"
"""The joint that LeRobot gives a whole turn (0..4095) instead of a measured range."""

MIN_RANGE_TICKS = 300
"""26°. The narrowest joint of six real arms, a gripper, has 1,291; a joint that was not moved while
ranges were recorded, or is stuck, has a few dozen at most."""

MAX_RANGE_TICKS = 3900
"""Of a joint that has end stops: one that seems to turn further went past the end of its encoder
(4095 to 0), since its middle was not in the middle."""

MAX_OFFSET_TICKS = 2047
"""The register has a sign and 11 bits."""

_REGISTERS = {
    "id": "ID",
    "homing_offset": "Homing_Offset",
    "range_min": "Min_Position_Limit",
    "range_max": "Max_Position_Limit",
}
_FIELDS = tuple(f.name for f in dataclasses.fields(MotorCalibration))


@dataclass(frozen=True)
class Difference:
    """One field in which file and servo disagree.

    Args:
        motor: The joint.
        field: ``id``, ``homing_offset``, ``range_min`` or ``range_max``.
        file: What the file says, ticks (or an id); ``None``: the file lacks the joint.
        servo: What the servo says; ``None``: the arm lacks the joint.
    """

    motor: str
    field: str
    file: int | None
    servo: int | None

    def __str__(self) -> str:
        if self.file is None:
            return f"{self.motor} isn't in the file"
        if self.servo is None:
            return f"{self.motor} is in the file but not on the arm"
        return f"{self.motor} {self.field}: file {self.file}, servo {self.servo}"


def differences(bus: Any, calibration: Mapping[str, MotorCalibration]) -> list[Difference]:
    """Where the servos of a connected Feetech bus and a calibration disagree; reads only.

    Raises:
        DeviceError: a servo doesn't answer; names the joint.
    """
    found = []
    for motor, described in bus.motors.items():
        wanted = calibration.get(motor)
        if wanted is None:
            found.append(Difference(motor, "id", None, described.id))
            continue
        for field, register in _REGISTERS.items():
            servo, file = registers.need(bus, motor, register), getattr(wanted, field)
            if servo != file:
                found.append(Difference(motor, field, file, servo))
    strangers = [motor for motor in calibration if motor not in bus.motors]
    return found + [Difference(motor, "id", calibration[motor].id, None) for motor in strangers]


def write(bus: Any, calibration: Calibration) -> None:
    """Write a calibration to the servos and read it back.

    Raises:
        ConfigError: it isn't plausible, or isn't of this arm; nothing was written.
        DeviceError: a servo has torque (moving its zero under torque makes the arm jump) or doesn't
            answer, nothing was written then; or what was read back differs.
    """
    check(calibration)
    _check_joints(bus, calibration)
    holding = [motor for motor in bus.motors if registers.need(bus, motor, "Torque_Enable")]
    if holding:
        raise DeviceError(
            f"{', '.join(holding)} {'has' if len(holding) == 1 else 'have'} torque",
            field="--robot.port",
            value=bus.port,
            remedy="Hold the arm and switch torque off before its calibration is written",
        )
    with registers.bus_errors("writing the calibration", bus.port):
        for motor in bus.motors:
            # Locked, a servo takes the values and forgets them when its power goes.
            bus.write("Lock", motor, 0, num_retry=2)
        registers.persistently(partial(bus.write_calibration, calibration))
    left = differences(bus, calibration)
    if left:
        raise DeviceError(
            "the servos didn't keep what was written: " + "; ".join(str(d) for d in left),
            field="--robot.port",
            value=bus.port,
            remedy="Try `armada calibrate --write`; a servo that still refuses is damaged",
        )


def _check_joints(bus: Any, calibration: Calibration) -> None:
    wrong = set(bus.motors) ^ set(calibration)
    if wrong:
        raise ConfigError(
            "the calibration has other joints than the arm",
            field="calibration",
            value=", ".join(sorted(wrong)),
            remedy=f"The arm has {', '.join(bus.motors)}",
        )
    for motor, described in bus.motors.items():
        if calibration[motor].id != described.id:
            raise ConfigError(
                f"is {calibration[motor].id}, on the arm it is {described.id}",
                field=f"{motor}.id",
                remedy="Is it the file of another robot?",
            )


def check(calibration: Mapping[str, MotorCalibration]) -> None:
    """Refuse a calibration that can't be one of an SO-100/SO-101.

    Raises:
        ConfigError: names the joint, the field and the value.
    """
    seen: dict[int, str] = {}
    for motor, of in calibration.items():
        if of.id in seen:
            raise ConfigError(
                f"is the id of {seen[of.id]} as well", field=f"{motor}.id", value=of.id
            )
        seen[of.id] = motor
        if abs(of.homing_offset) > MAX_OFFSET_TICKS:
            raise ConfigError(
                f"must be from −{MAX_OFFSET_TICKS} to {MAX_OFFSET_TICKS} ticks",
                field=f"{motor}.homing_offset",
                value=of.homing_offset,
                remedy="Run `armada calibrate`",
            )
        if not 0 <= of.range_min < of.range_max <= 4095:
            raise ConfigError(
                "must have 0 ≤ range_min < range_max ≤ 4095",
                field=f"{motor}.range",
                value=f"{of.range_min}..{of.range_max}",
                remedy="Run `armada calibrate`",
            )
        if of.range_max - of.range_min < MIN_RANGE_TICKS:
            raise ConfigError(
                f"is only {of.range_max - of.range_min} ticks wide, a joint has at least "
                f"{MIN_RANGE_TICKS}",
                field=f"{motor}.range",
                value=f"{of.range_min}..{of.range_max}",
                remedy="Was it moved while it was calibrated? Run `armada calibrate`",
            )


def load_file(path: Path) -> Calibration:
    """Read and check a calibration file.

    Raises:
        ConfigError: absent, unreadable, incomplete or implausible; names the joint at fault.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            "there is no such calibration file",
            field="calibration",
            value=path,
            remedy="Run `armada calibrate`, or set --robot.id or --robot.calibration_dir",
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"can't be read ({error})", field="calibration", value=path) from error
    if not isinstance(data, dict) or not data:
        raise ConfigError("holds no joints", field="calibration", value=path)
    calibration = {str(motor): _motor(path, str(motor), fields) for motor, fields in data.items()}
    try:
        check(calibration)
    except ConfigError as error:
        raise ConfigError(
            f"{error.message} (in {path})",
            field=error.field,
            value=error.value,
            remedy=error.remedy,
        ) from error
    return calibration


def _motor(path: Path, motor: str, fields: Any) -> MotorCalibration:
    if not isinstance(fields, dict) or set(fields) != set(_FIELDS):
        raise ConfigError(
            f"{motor} must have exactly {', '.join(_FIELDS)}", field="calibration", value=path
        )
    for name, value in fields.items():
        if type(value) is not int:
            raise ConfigError(
                f"must be a whole number (in {path})", field=f"{motor}.{name}", value=value
            )
    return MotorCalibration(**fields)


def save_file(path: Path, calibration: Calibration) -> Path | None:
    """Write a calibration file in one step, keeping the one before.

    Returns:
        The copy of the file before, ``<name>.json.<date>.bak``; ``None``: there was none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = None
    if path.exists():
        kept = path.with_name(f"{path.name}.{time.strftime('%Y-%m-%dT%H%M%S')}.bak")
        shutil.copy2(path, kept)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8") as file, draccus.config_type("json"):
            draccus.dump(calibration, file, indent=4)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return kept
