"""The fault script of the emulated arm: what each fault looks like to LeRobot's own driver."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from robots.emulator.client import EmulatedArm
from robots.emulator.faults import COMMANDS, read_script
from robots.emulator.trouble import DAMAGE, Rule, Trouble
from robots.emulator.world import folder
from robots.errors import ConfigError, DeviceError
from robots.sim import SO101Sim, SO101SimConfig
from tests.helpers import wait_until

RETRIES = 5
"""Of what is to be answered: an answer comes too late when the host does something else."""


@pytest.fixture(scope="module")
def connected() -> Iterator[SO101Sim]:
    robot = SO101Sim(SO101SimConfig(id=f"f{os.getpid()}", num_read_retries=RETRIES))
    robot.connect()
    yield robot
    robot.disconnect()


@pytest.fixture
def robot(connected: SO101Sim) -> Iterator[SO101Sim]:
    yield connected
    connected.command("mend")
    port = connected.bus.port_handler
    port.is_using = False
    port.ser.reset_input_buffer()
    connected.bus.disable_torque(num_retry=RETRIES)
    connected.bus.enable_torque(num_retry=RETRIES)


def read(robot: SO101Sim, register: str, motor: str = "elbow_flex") -> float:
    return float(robot.bus.sync_read(register, motor, normalize=False, num_retry=RETRIES)[motor])


def read_all(robot: SO101Sim, register: str) -> dict[str, float]:
    values: dict[str, float] = robot.bus.sync_read(register, normalize=False, num_retry=RETRIES)
    return values


def test_a_lost_answer_is_a_time_out(robot: SO101Sim) -> None:
    robot.command("drop", count=1)
    with pytest.raises(ConnectionError, match="no status packet"):
        robot.bus.sync_read("Present_Position")
    assert read(robot, "Present_Position")


def test_an_instruction_that_is_lost_is_so_for_all(robot: SO101Sim) -> None:
    before = read(robot, "Goal_Position")
    robot.command("drop", what="instructions", count=1)
    robot.bus.sync_write("Goal_Position", {"elbow_flex": before + 30}, normalize=False)
    assert read(robot, "Goal_Position") == before
    robot.command("drop", what="instructions", count=1)
    with pytest.raises(ConnectionError, match="no status packet"):
        robot.bus.sync_read("Present_Position")
    assert read(robot, "Present_Position")


def test_one_servo_may_miss_what_the_others_hear(robot: SO101Sim) -> None:
    before = read_all(robot, "Goal_Position")
    robot.command("drop", what="instructions", id=3, count=1)
    moved = {name: goal + 5 for name, goal in before.items()}
    robot.bus.sync_write("Goal_Position", moved, normalize=False)
    after = read_all(robot, "Goal_Position")
    assert after == moved | {"elbow_flex": before["elbow_flex"]}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_instruction_is_obeyed_as_it_was_or_not_at_all(robot: SO101Sim, how: str) -> None:
    before = read(robot, "Goal_Position")
    robot.command("corrupt", what="instructions", how=how, count=1)
    robot.bus.sync_write("Goal_Position", {"elbow_flex": before + 30}, normalize=False)
    robot.command("account")

    def hears_again() -> bool:
        return robot.bus.ping("elbow_flex") is not None

    wait_until(hears_again, what="half an instruction is forgotten")
    assert read(robot, "Goal_Position") in (before, before + 30)


def test_a_cut_data_line_is_silent_and_holds(robot: SO101Sim) -> None:
    robot.bus.enable_torque(num_retry=RETRIES)
    robot.command("dead", id=3, limp=False)
    assert robot.bus.ping("elbow_flex") is None
    assert robot.command("account")["pulls"]["3"]
    robot.bus.sync_write("Torque_Enable", 0)
    assert robot.command("account")["pulls"] == {str(i): i == 3 for i in range(1, 7)}
    robot.command("dead", id=3, limp=False, dead=False)
    assert robot.bus.ping("elbow_flex", num_retry=RETRIES) is not None


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_answer_never_passes_for_a_good_one(robot: SO101Sim, how: str) -> None:
    before = read_all(robot, "Present_Position")
    robot.command("corrupt", how=how, count=1)
    try:
        after = robot.bus.sync_read("Present_Position", normalize=False)
    except (ConnectionError, IndexError):
        return
    assert after == before


def test_a_late_answer_is_taken_for_that_of_the_next_question(robot: SO101Sim) -> None:
    """What LeRobot does; the supervised arm does not."""
    robot.command("delay", id=3, ms=70, count=1)
    with pytest.raises(ConnectionError):
        robot.bus.read("Present_Position", "elbow_flex", normalize=False)
    wait_until(lambda: robot.bus.port_handler.ser.in_waiting > 0, what="the answer is there")
    assert robot.bus.read("Min_Position_Limit", "elbow_flex", normalize=False) != 850


def test_power_away_and_back_leaves_torque_off(robot: SO101Sim) -> None:
    robot.bus.enable_torque(num_retry=RETRIES)
    robot.command("brownout", for_s=2.0)
    assert robot.bus.ping("elbow_flex") is None
    wait_until(lambda: robot.bus.ping("elbow_flex") is not None, what="the power is back")
    assert not any(read_all(robot, "Torque_Enable").values())


def test_what_is_stored_outlives_a_power_cut_and_the_rest_does_not(robot: SO101Sim) -> None:
    robot.bus.disable_torque(num_retry=RETRIES)  # unlocks the EPROM
    robot.bus.write("D_Coefficient", "gripper", 11, num_retry=RETRIES)
    robot.bus.enable_torque(num_retry=RETRIES)  # locks it
    robot.bus.write("P_Coefficient", "gripper", 7, num_retry=RETRIES)
    robot.command("reset", id=6)
    assert read(robot, "D_Coefficient", "gripper") == 11
    assert read(robot, "P_Coefficient", "gripper") != 7


def test_a_blocked_joint_overloads_and_recovers_when_it_is_not_pressed(robot: SO101Sim) -> None:
    goal = robot.get_observation()["elbow_flex.pos"]
    robot.command("block", id=3)
    robot.send_action({"elbow_flex.pos": goal + 40})
    wait_until(lambda: read(robot, "Status") == 32, what="the servo is overloaded")
    wait_until(lambda: abs(read(robot, "Present_Load")) <= 200, what="it has given way")
    robot.command("block", id=3, on=False)
    robot.command("account", clear=True)
    robot.send_action({"elbow_flex.pos": goal + 39})
    wait_until(lambda: robot.command("account")["steps"] > 50, what="a moment")
    assert robot.command("account")["fastest"][2] < 10, "it doesn't press on"
    robot.send_action({"elbow_flex.pos": goal})
    wait_until(lambda: read(robot, "Status") == 0, what="the overload is over")


def test_a_servo_that_gave_way_pulls_again_after_torque_off_and_on(robot: SO101Sim) -> None:
    goal = robot.get_observation()["elbow_flex.pos"]
    robot.command("block", id=3)
    robot.send_action({"elbow_flex.pos": goal + 40})
    wait_until(lambda: read(robot, "Status") == 32, what="the servo is overloaded")
    robot.command("block", id=3, on=False)
    robot.bus.sync_write("Torque_Enable", {"elbow_flex": 0})
    wait_until(lambda: read(robot, "Status") == 0, what="the overload is over")
    robot.bus.sync_write("Torque_Enable", {"elbow_flex": 1})
    wait_until(
        lambda: abs(robot.get_observation()["elbow_flex.pos"] - goal - 40) < 1, what="it is there"
    )


def test_a_hot_servo_lets_go(robot: SO101Sim) -> None:
    robot.command("heat", id=3, celsius=75)
    wait_until(lambda: read(robot, "Status") == 4, what="the alarm is on")
    assert read(robot, "Torque_Enable") == 0


def test_low_voltage_raises_its_alarm(robot: SO101Sim) -> None:
    robot.command("voltage", volts=3.5)
    wait_until(lambda: read(robot, "Status") == 1, what="the alarm is on")


def test_a_glitch_is_one_wrong_position(robot: SO101Sim) -> None:
    before = read(robot, "Present_Position")

    def wrong() -> bool:
        robot.command("glitch", id=3, ticks=900)
        # It may still settle.
        return abs(read(robot, "Present_Position") - (before + 900) % 4096) <= 3

    wait_until(wrong, what="an answer with the glitch, that comes in time")
    assert abs(read(robot, "Present_Position") - before) <= 3


def test_a_hand_moves_a_free_joint(robot: SO101Sim) -> None:
    robot.bus.disable_torque(num_retry=RETRIES)
    robot.command("push", id=3, to=1500)
    wait_until(lambda: read(robot, "Present_Position") == 1500, what="the joint was moved")


def test_noise_does_not_pass_for_an_answer(robot: SO101Sim) -> None:
    robot.command("babble", for_s=0.1)
    position = {}
    try:
        position = robot.bus.sync_read("Present_Position", normalize=False)
    except (ConnectionError, IndexError):
        return
    assert set(position) == set(robot.bus.motors)


def test_a_fault_ends_by_itself(robot: SO101Sim) -> None:
    robot.command("dead", id=2, for_s=0.05)
    wait_until(lambda: robot.bus.ping(2) is not None, what="the servo answers again")


def test_the_plant_keeps_its_own_account(robot: SO101Sim) -> None:
    robot.command("account", clear=True)
    goal = robot.get_observation()["elbow_flex.pos"]
    robot.send_action({"elbow_flex.pos": goal + 20})
    wait_until(
        lambda: abs(robot.get_observation()["elbow_flex.pos"] - goal - 20) < 1, what="it is there"
    )
    account = robot.command("account")
    assert account["highest"][2] - account["lowest"][2] > 200
    assert 0 < account["fastest"][2] <= 3400
    assert account["torque"]["3"]


@pytest.mark.parametrize(
    ("fault", "error"), [("stall", TimeoutError), ("unplug", RuntimeError), ("black", None)]
)
def test_a_camera_fails_as_lerobots_do(
    robot: SO101Sim, fault: str, error: type[Exception] | None
) -> None:
    camera = robot.cameras["front"]

    def fails_with() -> type[Exception] | None:
        try:
            camera.read_latest(max_age_ms=100)
        except (TimeoutError, RuntimeError) as failure:
            return type(failure)
        return None

    wait_until(lambda: fails_with() is None, what="the camera is well")
    robot.command("camera", fault=fault)
    if error is None:
        wait_until(lambda: not camera.read_latest().any(), what="the picture is black")
    else:
        wait_until(lambda: fails_with() is error, what=f"the camera fails with {error}")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ({"do": "explode"}, "there is no such fault"),
        ({"do": "dead", "id": 9}, "there is no such servo"),
        ({"do": "heat", "id": 3}, "wrong or missing argument"),
        ({"do": "cube", "seed": 1}, "this plant has no cube"),
        ({"do": "camera", "fault": "sneeze"}, "one of ok, stall"),
        ({"do": "corrupt", "how": "gently"}, "one of checksum"),
        ({"do": "drop", "what": "everything"}, "one of answers"),
        ({"do": "babble"}, "wrong or missing argument"),
    ],
)
def test_what_cannot_be_done_is_refused(
    robot: SO101Sim, command: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        robot.command(**command)  # type: ignore[arg-type]


def test_nobody_to_break(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no such emulated arm"):
        EmulatedArm(tmp_path)


def test_a_script_runs_by_the_clock(tmp_path: Path) -> None:
    script = tmp_path / "faults.yaml"
    script.write_text("- {at_s: 0.0, do: heat, id: 2, celsius: 55}\n")
    config = SO101SimConfig(id=f"script{os.getpid()}", faults=str(script))
    robot = SO101Sim(config)
    with robot.powered():
        assert folder(config.id).is_dir()
        robot.bus.connect()
        wait_until(
            lambda: read(robot, "Present_Temperature", "shoulder_lift") == 55, what="it is warm"
        )
        robot.bus.disconnect()


@pytest.mark.parametrize("text", ["do: unplug", "- 3", "- {do: unplug}", "- {at_s: 1, do: no}"])
def test_a_bad_script_is_refused_before_the_arm_starts(tmp_path: Path, text: str) -> None:
    script = tmp_path / "faults.yaml"
    script.write_text(text)
    robot = SO101Sim(SO101SimConfig(id=f"bad{os.getpid()}", faults=str(script)))
    with pytest.raises(DeviceError, match="can't be started"):
        robot.connect()
    with pytest.raises(ConfigError):
        read_script(tmp_path / "absent.yaml")


def test_every_fault_is_documented() -> None:
    assert len(COMMANDS) == len(set(COMMANDS)) == 20


def test_troubles_are_repeatable_by_their_seed() -> None:
    def run(seed: int) -> list[tuple[bytes, float]]:
        trouble = Trouble(np.random.default_rng(seed), drop=Rule(0.3), corrupt=Rule(0.5))
        return [trouble.deliver(1, b"\xff\xff\x01\x04\x00\x10\x08\xe2", 0.0) for _ in range(50)]

    assert run(3) == run(3) != run(4)
