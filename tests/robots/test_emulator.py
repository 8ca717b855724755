"""LeRobot's unmodified SO-101 driver and the vendor's SDK on emulated servos."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lerobot.motors.feetech.tables import (
    MODEL_NUMBER_TABLE,
    STS_SMS_SERIES_CONTROL_TABLE,
    STS_SMS_SERIES_ENCODINGS_TABLE,
)
from lerobot.robots import make_robot_from_config
from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

from robots.emulator import joints, registers
from robots.emulator.packets import parse, status
from robots.emulator.plant import TOP_SPEED_TICKS_S, FirstOrderPlant
from robots.emulator.servo import Servo
from robots.errors import ConfigError, DeviceError
from robots.sim import SO101Sim, SO101SimConfig
from tests.helpers import wait_until

RETRIES = 5
"""Of what is to be answered: an answer comes too late when the host does something else."""


@pytest.fixture
def robot(request: pytest.FixtureRequest) -> Iterator[SO101Sim]:
    config = SO101SimConfig(id=f"t{os.getpid()}", num_read_retries=RETRIES)
    robot = make_robot_from_config(config)
    robot.connect()
    yield robot
    # LeRobot's disconnect fails with an unplugged port or a dead servo; the emulator ends.
    with contextlib.suppress(OSError, termios.error, RuntimeError):
        robot.disconnect()


def pose(robot: SO101Sim) -> dict[str, float]:
    return {k: v for k, v in robot.get_observation().items() if k.endswith(".pos")}


def test_it_has_lerobots_register_map_for_this_servo() -> None:
    for name, place in registers.TABLE.items():
        assert STS_SMS_SERIES_CONTROL_TABLE[name] == place
    for name, bit in registers.SIGN_BIT.items():
        assert STS_SMS_SERIES_ENCODINGS_TABLE[name] == bit
    assert MODEL_NUMBER_TABLE["sts3215"] == registers.MODEL_NUMBER


def test_features_are_known_without_a_process() -> None:
    robot = make_robot_from_config(SO101SimConfig(id="unconnected"))
    assert list(robot.action_features) == [f"{name}.pos" for name in joints.NAMES]
    assert robot.observation_features["front"] == (96, 96, 3)
    assert not robot.is_connected


def test_it_connects_calibrated_and_without_a_question(robot: SO101Sim) -> None:
    assert robot.is_connected
    assert robot.is_calibrated


def test_it_goes_where_it_is_sent(robot: SO101Sim) -> None:
    goal = {name: value + 12.0 for name, value in pose(robot).items()}
    robot.send_action(goal)
    wait_until(
        lambda: all(abs(pose(robot)[k] - goal[k]) < 0.5 for k in goal), what="the pose is reached"
    )


def test_a_free_joint_stays_where_it_is(robot: SO101Sim) -> None:
    robot.bus.disable_torque(num_retry=RETRIES)
    before = pose(robot)
    robot.send_action({name: value + 20.0 for name, value in before.items()})
    time.sleep(0.2)
    assert pose(robot) == before


def test_torque_is_off_after_disconnect_when_asked_for(robot: SO101Sim) -> None:
    def torque() -> list[float]:
        found = robot.bus.sync_read("Torque_Enable", normalize=False, num_retry=RETRIES)
        return [*found.values()]

    assert all(torque())
    robot.bus.disable_torque(num_retry=RETRIES)
    assert not any(torque())


def test_a_calibration_is_written_and_read_back(robot: SO101Sim) -> None:
    changed = dict(robot.calibration)
    changed["elbow_flex"].homing_offset = -321
    robot.bus.disable_torque(num_retry=RETRIES)
    robot.bus.write_calibration(changed)
    assert robot.bus.read_calibration()["elbow_flex"].homing_offset == -321


def test_what_is_read_only_stays(robot: SO101Sim) -> None:
    robot.bus.write("Present_Temperature", "gripper", 99, num_retry=RETRIES)
    found = robot.bus.read("Present_Temperature", "gripper", normalize=False, num_retry=RETRIES)
    assert found != 99


def test_a_dead_servo_makes_reads_fail(robot: SO101Sim) -> None:
    robot.command(do="dead", id=3, dead=True)
    wait_until(lambda: robot.bus.ping(3) is None, what="servo 3 is silent")
    with pytest.raises(ConnectionError):
        robot.get_observation()
    robot.command(do="dead", id=3, dead=False)
    wait_until(lambda: robot.bus.ping(3) is not None, what="servo 3 is back")
    assert len(pose(robot)) == 6


def test_unplugged_it_is_gone_and_replugged_it_is_back_under_its_name(robot: SO101Sim) -> None:
    port = Path(robot.bus.port)
    robot.command(do="unplug")
    wait_until(lambda: not port.exists(), what="the port is gone")
    with pytest.raises((OSError, ConnectionError, termios.error)):
        robot.get_observation()
    robot.command(do="replug")
    wait_until(port.exists, what="the port is back")
    again = SO101Follower(SO101FollowerConfig(port=str(port), id="again"))
    again.bus.connect()
    found = again.bus.sync_read("Present_Position", normalize=False, num_retry=RETRIES)
    assert len(found) == 6
    again.bus.disconnect(disable_torque=False)


def test_one_id_is_one_arm(robot: SO101Sim) -> None:
    second = SO101Sim(SO101SimConfig(id=robot.id))
    with pytest.raises(DeviceError, match="runs already"):
        second.connect()


def test_it_never_outlives_who_started_it(tmp_path: Path) -> None:
    name = f"orphan{os.getpid()}"
    code = (
        "import time; from robots.sim import SO101Sim, SO101SimConfig\n"
        f"r = SO101Sim(SO101SimConfig(id={name!r})); r.connect()\n"
        "print(r._emulator.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the emulator has ended")


def test_a_goal_period_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="goal_period_s=0"):
        SO101SimConfig(goal_period_s=0)


def test_the_plant_keeps_to_the_servos_top_speed() -> None:
    plant = FirstOrderPlant(np.zeros(6))
    last = plant.position.copy()
    for _ in range(100):
        plant.step(np.full(6, 4000.0), np.ones(6, bool), 0.01)
        assert np.all(np.abs(plant.position - last) <= TOP_SPEED_TICKS_S * 0.01 + 1e-9)
        last = plant.position.copy()


@given(st.integers(-2047, 2047))
def test_signed_registers_keep_their_value(value: int) -> None:
    servo = Servo(1)
    servo.set("Homing_Offset", value)
    assert servo.get("Homing_Offset") == value


@given(st.binary(max_size=60), st.binary(max_size=30))
def test_noise_between_packets_is_skipped(noise: bytes, parameters: bytes) -> None:
    noise = noise.replace(b"\xff", b"\x00")
    good = status(5, 2, parameters)  # an instruction packet has the same form
    buffer = bytearray(noise + good)
    (packet,) = parse(buffer)
    assert (packet.id, packet.instruction, packet.parameters) == (5, 2, parameters)
    assert not buffer


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    buffer = bytearray(data)
    list(parse(buffer))
    assert len(buffer) <= 260
