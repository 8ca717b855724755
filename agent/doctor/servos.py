"""The servos of an SO-100/SO-101 and their calibration. Reads only; torque is not touched.

Limits are each servo's own registers: a 12 V servo and one of 7.4 V are judged by what they bear.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.doctor.check import Finding, Verdict
from robots.arm import calibration, registers
from robots.errors import ConfigError

_WARM_C = 10
"""This close below its limit a servo is about to let go."""

_BEYOND_TICKS = 30
"""2.6°: what a joint gives beyond the end to which a hand moved it."""

_REMEDY = {
    "voltage": "Check the power supply: it must be the one for these servos, and not sag",
    "sensor": "The position sensor fails: replace the servo",
    "temperature": "Let it cool down; is it holding something heavy?",
    "current": "Something blocks the joint, or the servo is damaged",
    "overload": "Something blocks the joint; free it, then switch the arm off and on",
}


def servos(arm: Any, prefix: str = "") -> Iterator[Finding]:
    """Each servo of one arm: does it answer, firmware, voltage, temperature, alarms, torque; then
    strangers on the bus, calibration and position.

    Args:
        arm: A follower, not connected.
        prefix: Of its joints' names.
    """
    bus = arm.bus
    if not registers.is_feetech(bus):
        yield Finding(f"{prefix}servos", Verdict.SKIP, "not of a kind that the doctor knows")
        return
    try:
        with registers.bus_errors("connecting", bus.port):
            bus.connect(handshake=False)
        alive = [name for name, m in bus.motors.items() if registers.answers(bus, m.id)]
        if not alive:
            yield _nobody(bus, prefix)
            return
        for name in bus.motors:
            yield _servo(bus, name, prefix) if name in alive else _silent(bus, name, prefix)
        yield from _firmware(bus, alive, prefix)
        yield from _strangers(bus, alive, prefix)
        if len(alive) == len(bus.motors):
            yield from _calibration(arm, prefix)
    finally:
        registers.close(bus)


def _silent(bus: Any, name: str, prefix: str) -> Finding:
    detail = f"id {bus.motors[name].id} doesn't answer"
    remedy = "Check its cable, its power and its id (`lerobot-setup-motors`)"
    return Finding(f"servo {prefix}{name}", Verdict.FAIL, detail, remedy)


def _servo(bus: Any, name: str, prefix: str) -> Finding:
    part = f"servo {prefix}{name}"
    said = {
        register: registers.read(bus, name, register)
        for register in (
            "Firmware_Major_Version",
            "Firmware_Minor_Version",
            "Present_Voltage",
            "Min_Voltage_Limit",
            "Max_Voltage_Limit",
            "Present_Temperature",
            "Max_Temperature_Limit",
            "Status",
            "Torque_Enable",
        )
    }
    value = {register: reading.value for register, reading in said.items() if reading is not None}
    missing = [register for register in said if register not in value]
    if missing:
        detail = f"id {bus.motors[name].id} answers now and then ({', '.join(missing)} missing)"
        remedy = "Check its cable; two servos with the same id garble each other's answers, too"
        return Finding(part, Verdict.FAIL, detail, remedy)
    volts, celsius = value["Present_Voltage"] / 10, value["Present_Temperature"]
    low, high = value["Min_Voltage_Limit"] / 10, value["Max_Voltage_Limit"] / 10
    hottest = value["Max_Temperature_Limit"]
    detail = (
        f"id {bus.motors[name].id}, firmware {value['Firmware_Major_Version']}."
        f"{value['Firmware_Minor_Version']}, {volts:.1f} V, {celsius} °C, "
        f"torque {'on' if value['Torque_Enable'] else 'off'}"
    )
    alarms = registers.alarm_names(value["Status"])
    if alarms:
        detail += f"; alarm: {', '.join(alarms)}"
    if not low <= volts <= high:
        detail += f"; bears {low:.1f} to {high:.1f} V"
        alarms += [] if "voltage" in alarms else ["voltage"]
    if celsius >= hottest - _WARM_C:
        detail += f"; lets go at {hottest} °C"
        if celsius >= hottest and "temperature" not in alarms:
            alarms.append("temperature")
    if alarms:
        return Finding(part, Verdict.FAIL, detail, ". ".join(_REMEDY[a] for a in alarms))
    if celsius >= hottest - _WARM_C:
        return Finding(part, Verdict.WARN, detail, _REMEDY["temperature"])
    return Finding(part, Verdict.OK, detail)


def _nobody(bus: Any, prefix: str) -> Finding:
    """No servo answers: asked at other baud rates, since that is how they come from the factory
    or from another project."""
    rates = [rate for rate in bus.available_baudrates if rate != bus.default_baudrate]
    for rate in rates:
        bus.port_handler.setBaudRate(rate)
        found = bus.broadcast_ping()
        if found:
            ids = ", ".join(str(i) for i in sorted(found))
            return Finding(
                f"{prefix}servos",
                Verdict.FAIL,
                f"they answer at {rate} baud (ids {ids}) instead of {bus.default_baudrate}",
                "`lerobot-setup-motors` sets baud rate and ids",
            )
    return Finding(
        f"{prefix}servos",
        Verdict.FAIL,
        f"none of {len(bus.motors)} answers on {bus.port}, at no baud rate",
        "Is the arm's power on, and the first servo's cable in? Is it this port?",
    )


def _firmware(bus: Any, alive: list[str], prefix: str) -> Iterator[Finding]:
    versions: dict[str, list[str]] = {}
    for name in alive:
        parts = [registers.read(bus, name, f"Firmware_{p}_Version") for p in ("Major", "Minor")]
        text = ".".join("?" if p is None else str(p.value) for p in parts)
        versions.setdefault(text, []).append(f"{prefix}{name}")
    if len(versions) > 1:
        said = "; ".join(f"{version}: {', '.join(names)}" for version, names in versions.items())
        remedy = "LeRobot refuses that: update them with Feetech's software"
        yield Finding(f"{prefix}firmware", Verdict.FAIL, f"they differ: {said}", remedy)


def _strangers(bus: Any, alive: list[str], prefix: str) -> Iterator[Finding]:
    with registers.bus_errors("asking who is there", bus.port):
        found = set(bus.broadcast_ping() or {})
    strangers = sorted(found - set(bus.ids))
    if not strangers:
        return
    ids = ", ".join(str(i) for i in strangers)
    missing = [name for name in bus.motors if name not in alive]
    guess = f"; is that {', '.join(missing)} with the wrong id?" if missing else ""
    remedy = "`lerobot-setup-motors` sets ids, one servo at a time; or unplug what isn't the arm's"
    yield Finding(f"{prefix}bus", Verdict.WARN, f"foreign id {ids} answers as well{guess}", remedy)


def _calibration(arm: Any, prefix: str) -> Iterator[Finding]:
    bus, path = arm.bus, arm.calibration_fpath
    try:
        wanted = calibration.load_file(path)
    except ConfigError as error:
        yield Finding(
            f"{prefix}calibration", Verdict.FAIL, str(error), "`armada calibrate` makes a new one"
        )
        return
    found = calibration.differences(bus, wanted)
    for d in found:
        detail = f"{d.field}: file {d.file}, servo {d.servo}"
        remedy = (
            "`armada calibrate --write` gives the servos what the file says; `armada calibrate` "
            "measures anew"
        )
        yield Finding(f"calibration {prefix}{d.motor}", Verdict.FAIL, detail, remedy)
    if found:
        return
    yield Finding(f"{prefix}calibration", Verdict.OK, f"the servos have what {path} says")
    yield from _positions(bus, wanted, prefix)


def _positions(bus: Any, wanted: calibration.Calibration, prefix: str) -> Iterator[Finding]:
    outside = False
    for name, of in wanted.items():
        at = registers.need(bus, name, "Present_Position")
        if not of.range_min - _BEYOND_TICKS <= at <= of.range_max + _BEYOND_TICKS:
            outside = True
            yield Finding(
                f"position {prefix}{name}",
                Verdict.WARN,
                f"stands at {at}, outside its calibrated {of.range_min}..{of.range_max}",
                "Was the horn mounted anew, or the joint turned by a whole turn? "
                "`armada calibrate`",
            )
    if not outside:
        yield Finding(
            f"{prefix}positions", Verdict.OK, "all joints stand inside their calibrated ranges"
        )
