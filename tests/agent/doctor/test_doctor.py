"""A verdict and a remedy a line, and nothing is moved."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.control.build import make_robot
from agent.doctor import host
from agent.doctor.check import Finding, Verdict, run_checks
from robots.errors import DeviceError
from robots.sim import SO101Sim, SO101SimConfig
from tests.datasets import make_dataset
from tests.helpers import free_port


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
    assert "h of recording (about, with 1 camera)" in said["disk"]["detail"]
    assert said["lerobot"]["detail"] == "0.6.1"


def test_an_emulated_arm_that_runs_elsewhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    robot, _ = make_robot(SO101SimConfig(id=f"busy{os.getpid()}"))
    assert isinstance(robot, SO101Sim)
    words = ["--robot.type=so101_sim", f"--robot.id={robot.id}", f"--state_dir={tmp_path}"]
    with robot.powered():
        assert main(["doctor", *words, "--json"]) == 1
    said = {f["part"]: f for f in json.loads(capsys.readouterr().out)}
    assert said["servos"]["verdict"] == said["cameras"]["verdict"] == "skip"


def test_cameras_and_host_are_looked_at_without_the_port(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    robot = ["--robot.type=so101_follower", f"--robot.port={tmp_path}/no", "--robot.id=x"]
    robot.append(f"--robot.calibration_dir={tmp_path}")
    assert main(["doctor", *robot, "--json", f"--state_dir={tmp_path}"]) == 1
    said = {f["part"]: f for f in json.loads(capsys.readouterr().out)}
    assert said["port"]["verdict"] == "fail"
    assert said["servos"]["detail"] == "not looked at: see the lines before"
    assert "none of its own" in said["cameras"]["detail"]


def test_a_robot_that_cannot_be_built_is_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    robot = ["--robot.type=replay", f"--robot.dataset={tmp_path / 'no'}"]
    assert main(["doctor", *robot, "--json", f"--state_dir={tmp_path}"]) == 1
    said = {f["part"]: f for f in json.loads(capsys.readouterr().out)}
    assert said["robot"]["verdict"] == "fail"
    assert said["disk"]["verdict"] in ("ok", "warn")


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


def test_disk_and_clock_are_looked_at(tmp_path: Path) -> None:
    (disk,) = host.disk(tmp_path / "not" / "yet" / "there")
    assert "GiB free" in disk.detail
    assert "recording" not in disk.detail, "nothing to reckon with"
    (full,) = host.disk(tmp_path, rate=1e9, source="a guess")
    assert full.verdict is Verdict.WARN
    assert "h of recording (a guess)" in full.detail
    (clock,) = host.clock()
    assert clock.part == "clock"


def test_the_rate_of_recording(tmp_path: Path) -> None:
    two = host.estimated_rate([(480, 640, 30.0)] * 2)
    assert 1e9 < two * 3600 < 2e9, "an hour of two cameras"
    assert host.recorded_rate(tmp_path) is None
    long = make_dataset(tmp_path / "long", episodes=1, frames=130, fps=2)
    rate = host.recorded_rate(long)
    assert rate is not None
    assert rate > 0
    assert host.recorded_rate(make_dataset(tmp_path / "short")) is None


def test_one_failing_check_does_not_keep_the_others_from_running() -> None:
    def refused() -> Iterator[Finding]:
        raise DeviceError("is broken", field="--x", value=1, remedy="Mend it")
        yield

    def broken() -> Iterator[Finding]:
        yield Finding("b", Verdict.OK, "so far")
        raise KeyError("x")

    def fine() -> Iterator[Finding]:
        yield Finding("c", Verdict.OK, "fine")

    first, second, third, fourth = run_checks({"a": refused, "b": broken, "c": fine})
    assert (first.verdict, first.remedy) == (Verdict.FAIL, "Mend it")
    assert first.detail == "--x=1: is broken"
    assert second.verdict is Verdict.OK
    assert third.verdict is Verdict.FAIL
    assert "KeyError" in third.detail
    assert fourth.verdict is Verdict.OK


def test_a_check_that_hangs_is_left() -> None:
    release = threading.Event()

    def hangs() -> Iterator[Finding]:
        yield Finding("a", Verdict.OK, "so far")
        release.wait()

    def fine() -> Iterator[Finding]:
        yield Finding("b", Verdict.OK, "fine")

    said = run_checks({"a": hangs, "b": fine}, longest_s=0.2)
    release.set()
    assert [f.verdict for f in said] == [Verdict.OK, Verdict.FAIL, Verdict.OK]
    assert "took longer" in said[1].detail
