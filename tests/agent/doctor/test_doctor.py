"""A verdict and a remedy a line, and nothing is moved."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.control.build import make_robot
from agent.doctor import arm, host
from agent.doctor.check import Finding, Verdict, run_checks
from robots.errors import DeviceError
from robots.sim import SO101Sim, SO101SimConfig
from tests.helpers import free_port, wait_until


@pytest.fixture
def powered() -> Iterator[SO101Sim]:
    robot, _ = make_robot(SO101SimConfig(id=f"doc{os.getpid()}"))
    assert isinstance(robot, SO101Sim)
    with robot.powered():
        yield robot


def verdicts(findings: list[Finding]) -> dict[str, str]:
    return {f.part: f.verdict.value for f in findings}


def test_a_sound_arm(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    robot = ["--robot.type=so101_sim", f"--robot.id=d{os.getpid()}"]
    status = main(["doctor", *robot, "--json=true", f"--state_dir={tmp_path}"])
    said = {f["part"]: f for f in json.loads(capsys.readouterr().out)}
    assert status == 0
    for joint in ("shoulder_pan", "gripper"):
        assert said[f"servo {joint}"]["verdict"] == "ok"
        assert "V" in said[f"servo {joint}"]["detail"]
    assert said["calibration"]["verdict"] == "ok"
    assert "frames/s" in said["camera front"]["detail"]
    assert said["lerobot"]["detail"] == "0.6.1"


def test_a_table_and_a_status_for_what_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    port = free_port()
    broker = ["--broker.host=127.0.0.1", f"--broker.port={port}"]
    server = f"--federation.server=127.0.0.1:{port}"
    assert main(["doctor", *broker, server, f"--state_dir={tmp_path}"]) == 1
    out = capsys.readouterr().out
    assert "armada doctor" in out
    assert "fail" in out
    assert "server" in out


def test_a_policy_that_does_not_fit_is_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    policy = f"--policy.path={tmp_path / 'none'}"
    assert main(["doctor", policy, "--json=true", f"--state_dir={tmp_path}"]) == 1
    said = {f["part"]: f for f in json.loads(capsys.readouterr().out)}
    assert said["policy"]["verdict"] == "fail"
    assert said["policy"]["remedy"]


def test_a_dead_servo_is_named(powered: SO101Sim) -> None:
    powered.command(do="dead", id=3, dead=True)

    def dead() -> bool:
        return verdicts(list(arm.servos(powered)))["servo elbow_flex"] == "fail"

    wait_until(dead)
    found = verdicts(list(arm.servos(powered)))
    assert found["servo gripper"] == "ok"
    assert "calibration" not in found, "not to be told with a servo missing"


def test_a_calibration_that_differs_is_told(powered: SO101Sim) -> None:
    powered.calibration["gripper"].range_max += 5
    assert verdicts(list(arm.servos(powered)))["calibration"] == "fail"
    powered.calibration.clear()
    assert verdicts(list(arm.servos(powered)))["calibration"] == "fail"


def test_looking_gives_no_servo_torque(powered: SO101Sim) -> None:
    list(arm.servos(powered))
    powered.bus.connect(handshake=False)
    assert not any(powered.bus.sync_read("Torque_Enable", normalize=False).values())
    powered.bus.disconnect(disable_torque=False)


def test_a_port_that_is_absent_or_forbidden(tmp_path: Path) -> None:
    from lerobot.robots.so_follower import SO101FollowerConfig

    (found,) = arm.port(SO101FollowerConfig(port=str(tmp_path / "no")))
    assert found.verdict is Verdict.FAIL
    assert "lerobot-find-port" in found.remedy


def test_a_camera_that_does_not_open_is_a_line() -> None:
    robot, layout = make_robot(SO101SimConfig(id="nobody"))
    with pytest.raises(DeviceError):
        list(arm.cameras(robot, layout))


def test_disk_and_clock_are_looked_at(tmp_path: Path) -> None:
    (disk,) = host.disk(tmp_path / "not" / "yet" / "there")
    assert "GiB free" in disk.detail
    (clock,) = host.clock()
    assert clock.part == "clock"


def test_one_failing_check_does_not_keep_the_others_from_running() -> None:
    def broken() -> Iterator[Finding]:
        raise DeviceError("is broken", field="--x", value=1, remedy="Mend it")
        yield

    def fine() -> Iterator[Finding]:
        yield Finding("b", Verdict.OK, "fine")

    first, second = run_checks({"a": broken, "b": fine})
    assert (first.verdict, first.remedy) == (Verdict.FAIL, "Mend it")
    assert first.detail == "--x=1: is broken"
    assert second.verdict is Verdict.OK
