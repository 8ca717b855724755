"""``armada calibrate`` as a process, on LeRobot's driver and emulated servos; a hand pushes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

from agent.control.build import make_robot
from agent.supervisor.locks import take_port
from robots.arm import calibration, registers
from robots.sim import SO101Sim, SO101SimConfig
from robots.sim.robot import port_of
from tests.helpers import wait_until

ENDS = {
    1: (760, 3400),
    2: (900, 3200),
    3: (870, 3060),
    4: (850, 3150),
    5: (100, 3900),
    6: (2000, 3400),
}
"""Servo id → where a hand moves it, ticks."""


@pytest.fixture
def sim() -> Iterator[SO101Sim]:
    robot, _ = make_robot(SO101SimConfig(id=f"calibrate{os.getpid()}"))
    assert isinstance(robot, SO101Sim)
    with robot.powered():
        yield robot


class Calibrate:
    """The command, its answers and what it says."""

    def __init__(self, sim: SO101Sim, folder: Path, *words: str) -> None:
        self.file = folder / "arm.json"
        port = port_of(str(sim.id))
        robot = ["--robot.type=so101_follower", "--robot.id=arm", f"--robot.port={port}"]
        robot.append(f"--robot.calibration_dir={folder}")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "calibrate", *robot, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "120"},
        )
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while character := self.process.stdout.read(1):
            self.text += character

    def says(self, *texts: str, after: int = 0) -> None:
        wait_until(
            lambda: (
                all(text in self.text[after:] for text in texts)
                or (self.process.poll() is not None and not self._reader.is_alive())
            ),
            what=f"{texts} in {self.text[-2000:]}",
        )
        for text in texts:
            assert text in self.text[after:], self.text[-3000:]

    def answer(self, text: str = "") -> int:
        """Say something; the length of what was heard before."""
        before = len(self.text)
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return before

    def hang_up(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def ended(self) -> int:
        status = self.process.wait(60)
        self._reader.join(10)
        return status


def to_the_ranges(run: Calibrate) -> None:
    run.says("go limp now")
    run.answer()
    run.says("middle of its range")
    run.answer()
    run.says("through its whole range")


def move(sim: SO101Sim, run: Calibrate, joints: tuple[int, ...] = (1, 2, 3, 4, 5, 6)) -> None:
    """Each joint to both ends, by hand; on when the command has seen it there."""
    for side in (0, 1):
        for joint in joints:
            sim.command(do="push", id=joint, to=ENDS[joint][side])
        seen = "{}..".format if side == 0 else "now {}".format
        run.says(*(f"{seen(ENDS[j][side])}" for j in joints))


def servos(sim: SO101Sim) -> tuple[calibration.Calibration, bool]:
    """What the servos are calibrated to, and whether any has torque."""
    with contextlib.ExitStack() as stack:
        stack.callback(registers.close, sim.bus)
        sim.bus.connect(handshake=False)
        torque = sim.bus.sync_read("Torque_Enable", normalize=False, num_retry=2)
        return sim.bus.read_calibration(), any(torque.values())


def test_the_whole_walk(sim: SO101Sim, tmp_path: Path) -> None:
    old = dict(sim.calibration)
    calibration.save_file(tmp_path / "arm.json", old)
    run = Calibrate(sim, tmp_path)
    to_the_ranges(run)
    move(sim, run)
    run.answer()
    run.says("Before → now", "Write this")
    run.answer("y")
    assert run.ended() == 0, run.text

    # The arm stood at the middle of its old ranges; the new middle is there.
    found, torque = servos(sim)
    assert not torque
    new = calibration.load_file(run.file)
    assert found == new
    assert (new["shoulder_pan"].range_min, new["shoulder_pan"].range_max) == ENDS[1]
    assert (new["wrist_roll"].range_min, new["wrist_roll"].range_max) == (0, 4095)
    assert new["elbow_flex"].homing_offset != old["elbow_flex"].homing_offset
    (kept,) = tmp_path.glob("arm.json.*.bak")
    assert calibration.load_file(kept) == old
    robot = SO101Follower(
        SO101FollowerConfig(
            id="arm", port=str(port_of(str(sim.id))), calibration_dir=tmp_path, cameras={}
        )
    )
    robot.connect(calibrate=False)
    assert robot.is_calibrated
    robot.disconnect()


def test_a_joint_that_was_not_moved_is_named_and_may_still_be(
    sim: SO101Sim, tmp_path: Path
) -> None:
    run = Calibrate(sim, tmp_path)
    to_the_ranges(run)
    move(sim, run, (1, 2, 3, 5, 6))
    before = run.answer()
    run.says("wrist_flex moved only 0 ticks: is it stuck?", "Go on moving", after=before)
    move(sim, run, (4,))
    run.answer()
    run.says("Write this")
    run.answer("n")
    assert run.ended() == 1
    assert "Nothing was written" in run.text
    assert not run.file.exists()
    found, torque = servos(sim)
    assert found == sim.calibration, "the servos have what they had"
    assert not torque


def test_a_roll_that_does_not_turn_is_told_once(sim: SO101Sim, tmp_path: Path) -> None:
    run = Calibrate(sim, tmp_path)
    to_the_ranges(run)
    move(sim, run, (1, 2, 3, 4, 6))
    run.answer()
    run.says("wrist_roll moved only 0 ticks", "ENTER alone")
    run.answer()
    run.says("Write this")
    run.answer("y")
    assert run.ended() == 0, run.text
    assert calibration.load_file(run.file)["wrist_roll"].range_max == 4095


def test_a_middle_that_was_not_the_middle(sim: SO101Sim, tmp_path: Path) -> None:
    run = Calibrate(sim, tmp_path)
    to_the_ranges(run)
    sim.command(do="push", id=1, to=10)
    run.says("10..")
    sim.command(do="push", id=1, to=4090)
    run.says("now 4090")
    before = run.answer()
    run.says("shoulder_pan went past the end of its encoder", "middle pose", after=before)
    run.says("middle of its range", after=before)
    run.hang_up()
    assert run.ended() == 2
    assert "stdin: ended" in run.text
    assert servos(sim)[0] == sim.calibration


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_breaking_off_leaves_everything_as_it_was(
    sim: SO101Sim, tmp_path: Path, number: signal.Signals
) -> None:
    calibration.save_file(tmp_path / "arm.json", sim.calibration)
    before = (tmp_path / "arm.json").read_bytes()
    run = Calibrate(sim, tmp_path)
    to_the_ranges(run)
    move(sim, run, (1, 2))
    run.process.send_signal(number)
    assert run.ended() == 130, run.text
    assert run.file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["arm.json"]
    found, torque = servos(sim)
    assert found == sim.calibration
    assert not torque


def test_a_servo_that_dies_on_the_way(sim: SO101Sim, tmp_path: Path) -> None:
    run = Calibrate(sim, tmp_path)
    to_the_ranges(run)
    sim.command(do="dead", id=3, dead=True)
    assert run.ended() == 2
    assert "reading the positions failed" in run.text
    assert "elbow_flex could not be given back the calibration" in run.text
    assert not run.file.exists()
    sim.command(do="dead", id=3, dead=False)
    found, torque = servos(sim)
    assert {m for m in found if found[m] != sim.calibration[m]} == {"elbow_flex"}
    assert not torque


def test_nobody_to_answer(sim: SO101Sim, tmp_path: Path) -> None:
    run = Calibrate(sim, tmp_path)
    run.hang_up()
    assert run.ended() == 2
    assert "stdin: ended before everything was answered; nothing was written" in run.text
    assert not run.file.exists()


def test_an_arm_that_an_agent_runs_is_refused(sim: SO101Sim, tmp_path: Path) -> None:
    lock = take_port("--robot.port", str(port_of(str(sim.id))))
    try:
        run = Calibrate(sim, tmp_path)
        assert run.ended() == 2
        assert f"(pid {os.getpid()})" in run.text
        assert "in use by another agent" in run.text
    finally:
        os.close(lock)


def test_a_port_that_another_program_has_open_is_refused(sim: SO101Sim, tmp_path: Path) -> None:
    sim.bus.connect(handshake=False)
    try:
        run = Calibrate(sim, tmp_path, "--check")
        assert run.ended() == 2
        assert "the port is open in" in run.text
        assert f"(pid {os.getpid()})" in run.text
    finally:
        registers.close(sim.bus)


def test_check_then_write(sim: SO101Sim, tmp_path: Path) -> None:
    wanted = json.loads(sim.calibration_fpath.read_text())
    (tmp_path / "arm.json").write_text(json.dumps(wanted))
    run = Calibrate(sim, tmp_path, "--check")
    assert run.ended() == 0, run.text
    wanted["gripper"]["range_max"] = 3333
    (tmp_path / "arm.json").write_text(json.dumps(wanted))

    run = Calibrate(sim, tmp_path, "--check", "--json")
    assert run.ended() == 1
    (said,) = json.loads(run.text)
    assert said["differences"] == [
        {"motor": "gripper", "field": "range_max", "file": 3333, "servo": 3460}
    ]

    run = Calibrate(sim, tmp_path, "--write")
    run.says("3333", "3460", "[y/N]")
    run.answer("")
    assert run.ended() == 1
    assert servos(sim)[0] == sim.calibration

    sim.bus.connect(handshake=False)
    sim.bus.enable_torque()
    registers.close(sim.bus)
    run = Calibrate(sim, tmp_path, "--write", "--yes")
    run.hang_up()
    assert run.ended() == 0, run.text
    found, torque = servos(sim)
    assert found["gripper"].range_max == 3333
    assert not torque


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--robot.type=so101_sim"], "comes calibrated"),
        (["--robot.type=so101_sim", "--check", "--write"], "--check"),
        (["--robot.type=so101_sim", "--arm=left", "--check"], "no such arm"),
        (["--robot.type=replay", "--robot.dataset=x"], "x"),
        (["--robot.type=so101_follower", "--robot.port=/dev/none"], "no such port"),
    ],
)
def test_what_is_refused_at_once(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from agent.cli import main

    assert main(["calibrate", *words, f"--robot.id=refused{os.getpid()}"]) == 2
    assert said in capsys.readouterr().err
