"""Checks of the arm: port, servos, calibration, cameras. Reads only; torque is not touched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.robots import Robot, RobotConfig

from agent.doctor.check import Finding, Verdict
from agent.ipc import FrameLayout
from agent.supervisor.locks import ports

_DARK = 8.0
"""Mean brightness (0–255) below which a picture counts as black: a lens cap measures 0–4."""

_FRAMES = 10


def port(config: RobotConfig) -> Iterator[Finding]:
    """The serial ports in the robot's configuration."""
    found = list(ports(config, "--robot"))
    for flag, name in found:
        if not Path(name).exists():
            yield Finding(
                "port", Verdict.FAIL, f"{flag}={name} is absent", "Plug it in; `lerobot-find-port`"
            )
        elif not os.access(name, os.R_OK | os.W_OK):
            yield Finding(
                "port",
                Verdict.FAIL,
                f"{flag}={name} may not be opened",
                "Add the user to the group dialout and log in again",
            )
        else:
            yield Finding("port", Verdict.OK, f"{flag}={name}")
    if not found:
        yield Finding("port", Verdict.SKIP, f"{config.type} needs none")


def servos(robot: Robot) -> Iterator[Finding]:
    """Each servo of an SO-100/SO-101: does it answer, voltage, temperature, calibration."""
    bus = getattr(robot, "bus", None)
    if bus is None:
        yield Finding("servos", Verdict.SKIP, f"{robot.name} has no servo bus")
        return
    if not Path(bus.port).exists():
        yield Finding("servos", Verdict.SKIP, "no port to ask on")
        return
    bus.connect(handshake=False)
    try:
        alive = []
        for name, motor in bus.motors.items():
            if not _answers(bus, motor.id):
                yield Finding(
                    f"servo {name}",
                    Verdict.FAIL,
                    f"id {motor.id} doesn't answer",
                    "Check its cable, its power and its id (`lerobot-setup-motors`)",
                )
                continue
            alive.append(name)
            volts = bus.read("Present_Voltage", name, normalize=False) / 10
            celsius = bus.read("Present_Temperature", name, normalize=False)
            detail = f"id {motor.id}, {volts:.1f} V, {celsius} °C"
            hot = celsius >= 60
            yield Finding(
                f"servo {name}",
                Verdict.WARN if hot else Verdict.OK,
                detail,
                "Let it cool down" if hot else "",
            )
        if len(alive) == len(bus.motors):
            yield from _calibration(robot)
    finally:
        bus.disconnect(disable_torque=False)


def _answers(bus: Any, servo_id: int) -> bool:
    try:
        return bus.ping(servo_id, num_retry=2) is not None
    except IndexError:
        # The SDK indexes into an answer that was cut short.
        return False


def _calibration(robot: Robot) -> Iterator[Finding]:
    if not robot.calibration:
        yield Finding(
            "calibration",
            Verdict.FAIL,
            f"there is no file {robot.calibration_fpath}",
            "Run `lerobot-calibrate` with the same --robot flags",
        )
    elif robot.is_calibrated:
        yield Finding("calibration", Verdict.OK, f"the servos agree with {robot.calibration_fpath}")
    else:
        yield Finding(
            "calibration",
            Verdict.FAIL,
            f"the servos differ from {robot.calibration_fpath}",
            "Run `lerobot-calibrate` and press ENTER to write the file to the servos",
        )


def cameras(robot: Robot, layout: FrameLayout) -> Iterator[Finding]:
    """Each camera: does it open, at what rate, how bright, does the picture change."""
    opened = getattr(robot, "cameras", {})
    if not opened:
        known = ", ".join(i.key for i in layout.images) or "none"
        yield Finding("cameras", Verdict.SKIP, f"none of its own to open (pictures: {known})")
        return
    for key, camera in opened.items():
        try:
            camera.connect()
            began = time.monotonic()
            frames = [camera.async_read(timeout_ms=2000) for _ in range(_FRAMES)]
            rate = (_FRAMES - 1) / max(time.monotonic() - began, 1e-9)
        except (OSError, RuntimeError, TimeoutError, ValueError) as error:
            yield Finding(
                f"camera {key}",
                Verdict.FAIL,
                " ".join(str(error).split()),
                "`lerobot-find-cameras` lists what is plugged in",
            )
            continue
        finally:
            if camera.is_connected:
                camera.disconnect()
        bright = float(np.mean(frames[-1]))
        shape = "×".join(str(n) for n in frames[-1].shape)
        detail = f"{shape}, {rate:.0f} frames/s, brightness {bright:.0f} of 255"
        if bright < _DARK:
            yield Finding(f"camera {key}", Verdict.WARN, detail, "The picture is black: lens cap?")
        else:
            yield Finding(f"camera {key}", Verdict.OK, detail)
