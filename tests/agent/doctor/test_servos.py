"""The servos and who has them, on LeRobot's driver and emulated servos that can be broken."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from lerobot.robots.bi_so_follower import BiSOFollowerConfig
from lerobot.robots.so_follower import SO101FollowerConfig, SOFollowerConfig

from agent.control.build import make_robot
from agent.doctor import port
from agent.doctor.check import Finding, Verdict
from agent.doctor.servos import servos
from agent.paths import StateDir
from agent.supervisor.locks import take_port
from robots.arm import calibration, registers
from robots.arm.parts import followers
from robots.sim import SO101Sim, SO101SimConfig
from robots.sim.robot import port_of
from tests.mqtt import Control


@pytest.fixture
def powered() -> Iterator[SO101Sim]:
    robot, _ = make_robot(SO101SimConfig(id=f"servos{os.getpid()}"))
    assert isinstance(robot, SO101Sim)
    with robot.powered():
        yield robot


def found(robot: Any, prefix: str = "") -> dict[str, Finding]:
    return {f.part: f for f in servos(robot, prefix)}


def test_sound_servos(powered: SO101Sim) -> None:
    said = found(powered)
    assert {f.verdict for f in said.values()} == {Verdict.OK}
    assert said["servo gripper"].detail == "id 6, firmware 3.10, 7.4 V, 31 °C, torque off"
    assert str(powered.calibration_fpath) in said["calibration"].detail


@pytest.mark.parametrize(
    ("register", "value", "verdict", "words"),
    [
        ("Present_Temperature", 63, Verdict.WARN, "63 °C, torque off; lets go at 70 °C"),
        ("Present_Temperature", 75, Verdict.FAIL, "alarm: temperature"),
        ("Present_Voltage", 121, Verdict.FAIL, "bears 4.0 to 8.0 V"),
        ("Max_Voltage_Limit", 60, Verdict.FAIL, "7.4 V"),
    ],
)
def test_each_servo_is_judged_by_its_own_limits(
    powered: SO101Sim, register: str, value: int, verdict: Verdict, words: str
) -> None:
    powered.command(do="set", id=3, register=register, value=value)
    said = found(powered)
    assert said["servo elbow_flex"].verdict is verdict
    assert words in said["servo elbow_flex"].detail
    assert said["servo elbow_flex"].remedy
    assert said["servo gripper"].verdict is Verdict.OK
    assert said["calibration"].verdict is Verdict.OK, "read past the alarm"


def test_a_blind_sensor_is_an_alarm(powered: SO101Sim) -> None:
    powered.command(do="blind", id=2, on=True)
    said = found(powered)["servo shoulder_lift"]
    assert said.verdict is Verdict.FAIL
    assert "alarm: sensor" in said.detail


def test_a_dead_servo_is_named(powered: SO101Sim) -> None:
    powered.command(do="dead", id=3, dead=True)
    said = found(powered)
    assert said["servo elbow_flex"].verdict is Verdict.FAIL
    assert said["servo gripper"].verdict is Verdict.OK
    assert "calibration" not in said, "not to be told with a servo missing"


def test_nobody_answers(powered: SO101Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 7):
        powered.command(do="dead", id=number, dead=True)
    monkeypatch.setattr(powered.bus, "available_baudrates", [1_000_000, 115_200])
    (said,) = servos(powered)
    assert said.verdict is Verdict.FAIL
    assert "none of 6 answers" in said.detail
    assert "power" in said.remedy


def test_another_baud_rate_is_found(powered: SO101Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pseudo-terminal has no rate: whoever is asked again at another one answers."""
    monkeypatch.setattr(registers, "answers", lambda bus, servo_id: False)
    (said,) = servos(powered)
    assert "ids 1, 2, 3, 4, 5, 6" in said.detail
    assert "baud" in said.detail


def test_a_foreign_id(powered: SO101Sim) -> None:
    del powered.bus.motors["gripper"]
    powered.bus.__dict__.pop("ids", None)
    said = found(powered)["bus"]
    assert said.verdict is Verdict.WARN
    assert "foreign id 6" in said.detail


def test_mixed_firmware(powered: SO101Sim) -> None:
    powered.command(do="set", id=2, register="Firmware_Minor_Version", value=9)
    said = found(powered)["firmware"]
    assert said.verdict is Verdict.FAIL
    assert "3.9: shoulder_lift" in said.detail


def test_calibration_drift_is_told_by_joint_and_field(powered: SO101Sim) -> None:
    powered.command(do="set", id=6, register="Max_Position_Limit", value=3000)
    powered.command(do="set", id=2, register="Homing_Offset", value=-5)
    said = found(powered)
    assert said["calibration gripper"].detail == "range_max: file 3460, servo 3000"
    assert said["calibration shoulder_lift"].detail == "homing_offset: file 37, servo -5"
    assert said["calibration gripper"].verdict is Verdict.FAIL
    assert "armada calibrate" in said["calibration gripper"].remedy


def test_no_calibration_or_a_nonsensical_one(powered: SO101Sim) -> None:
    before = powered.calibration_fpath.read_bytes()
    try:
        wrong = dict(powered.calibration)
        wrong["gripper"] = dataclasses.replace(wrong["gripper"], range_min=3459)
        calibration.save_file(powered.calibration_fpath, wrong)
        said = found(powered)["calibration"]
        assert said.verdict is Verdict.FAIL
        assert "gripper.range=3459..3460: is only 1 ticks wide" in said.detail
        powered.calibration_fpath.unlink()
        assert "no such calibration file" in found(powered)["calibration"].detail
    finally:
        powered.calibration_fpath.write_bytes(before)


def test_a_joint_outside_its_range(powered: SO101Sim) -> None:
    powered.command(do="push", id=6, to=3700)
    said = found(powered)["position gripper"]
    assert said.verdict is Verdict.WARN
    assert "stands at 3700" in said.detail


def test_looking_changes_no_torque_and_closes_the_port(powered: SO101Sim) -> None:
    for torque in (0, 1):
        powered.bus.connect(handshake=False)
        powered.bus.sync_write("Torque_Enable", torque)
        registers.close(powered.bus)
        assert f"torque {'on' if torque else 'off'}" in found(powered)["servo gripper"].detail
        assert not powered.bus.is_connected
        powered.bus.connect(handshake=False)
        values = powered.bus.sync_read("Torque_Enable", normalize=False)
        registers.close(powered.bus)
        assert set(values.values()) == {torque}


def test_two_arms(powered: SO101Sim, tmp_path: Path) -> None:
    here = SOFollowerConfig(port=str(port_of(str(powered.id))))
    robot, _ = make_robot(
        BiSOFollowerConfig(
            id="x", calibration_dir=tmp_path, left_arm_config=here, right_arm_config=here
        )
    )
    (_, left), (prefix, right) = followers(robot)
    calibration.save_file(right.calibration_fpath, powered.calibration)
    assert found(left, "left_")["left_calibration"].verdict is Verdict.FAIL
    said = found(right, prefix)
    assert said["servo right_gripper"].verdict is Verdict.OK
    assert said["right_calibration"].verdict is Verdict.OK


# Who has the arm ----------------------------------------------------------------------------


def gain(config: SO101FollowerConfig, state: Path) -> tuple[port.Access, Finding]:
    with ExitStack() as stack:
        access = port.gain(config, StateDir(state), stack)
    return access, access.findings[-1]


def test_a_port_that_is_absent(tmp_path: Path) -> None:
    access, said = gain(SO101FollowerConfig(port=str(tmp_path / "no")), tmp_path)
    assert said.verdict is Verdict.FAIL
    assert "absent" in said.detail
    assert (access.bus, access.cameras) == (False, True)


def test_a_free_port_is_kept_and_given_back(powered: SO101Sim, tmp_path: Path) -> None:
    config = SO101FollowerConfig(port=str(port_of(str(powered.id))))
    with ExitStack() as stack:
        access = port.gain(config, StateDir(tmp_path), stack)
        assert access.bus
        second, said = gain(config, tmp_path)
        assert not second.bus
        assert f"(pid {os.getpid()})" in said.detail
    assert gain(config, tmp_path)[0].bus


def test_an_agent_that_runs_is_asked(powered: SO101Sim, tmp_path: Path) -> None:
    config = SO101FollowerConfig(port=str(port_of(str(powered.id))))
    state = StateDir(tmp_path)
    state.create()
    control = Control(state.control_socket).start()
    control.telemetry(state="running", arm="ok", rate_hz=29.97, pid=4711, stop_reason="")
    lock = take_port("--robot.port", config.port)
    try:
        access, held = gain(config, tmp_path)
        assert access.findings[0].detail == "pid 4711 is running, arm ok, 30.0 Hz"
        assert held.verdict is Verdict.OK
        assert "asked instead" in held.detail
        assert not access.bus
        assert not access.cameras
        control.telemetry(state="running", arm="lost", pid=4711)
        assert gain(config, tmp_path)[0].findings[0].verdict is Verdict.FAIL
    finally:
        os.close(lock)
        control.end()


def test_a_robot_without_port_or_bus() -> None:
    (said,) = servos(type("Other", (), {"bus": object()})())
    assert said.verdict is Verdict.SKIP
