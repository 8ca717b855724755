"""The MuJoCo plant has weight and contacts, its cameras show it, the scripted expert picks up."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lerobot.cameras.utils import make_cameras_from_configs
from lerobot.teleoperators import make_teleoperator_from_config
from numpy.typing import NDArray

from robots.emulator import joints
from robots.emulator import mujoco_model as model
from robots.emulator.camera_faults import write_faults
from robots.emulator.frames import FrameFile
from robots.emulator.mujoco_plant import MujocoPlant
from robots.emulator.plant import TOP_SPEED_TICKS_S
from robots.emulator.scene_file import SceneFile
from robots.errors import ConfigError, DeviceError
from robots.sim import (
    ScriptedPickConfig,
    SO101Rendered,
    SO101RenderedConfig,
    SO101Sim,
    SO101SimConfig,
)
from robots.sim.kinematics import Kinematics
from tests.helpers import wait_until

ON, OFF = np.ones(6, bool), np.zeros(6, bool)
STEP_S = 0.004
RAISED = np.radians([10.0, -20.0, 20.0, 40.0, 15.0, 45.0])


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[MujocoPlant]:
    plant = MujocoPlant(folder=tmp_path, seed=0)
    yield plant
    plant.close()


def ticks(radians: NDArray[np.float64]) -> NDArray[np.float64]:
    return model.to_ticks(radians, sensor=True)


def angles(plant: MujocoPlant) -> NDArray[np.float64]:
    return model.to_radians(plant.position, sensor=True)


def run(
    plant: MujocoPlant, goal: NDArray[np.float64], torque: NDArray[np.bool_], seconds: float
) -> None:
    for _ in range(round(seconds / STEP_S)):
        plant.step(goal, torque, STEP_S)


# The plant --------------------------------------------------------------------------------


def test_ticks_and_angles_are_lerobots() -> None:
    low, high = joints.limits()
    middle = (low + high) / 2
    zero = model.to_radians(middle, sensor=False)
    assert np.allclose(zero[:5], 0.0)
    degrees = np.array([10.0, -20.0, 30.0, 40.0, -50.0])
    there = np.concatenate([np.radians(degrees), [0.3]])
    units = joints.to_robot_units(model.to_ticks(there, sensor=False), degrees=True)
    assert np.allclose([*units.values()][:5], degrees, atol=0.05)
    jaw = model.build().jnt_range[5]
    ends = [
        joints.to_robot_units(model.to_ticks(np.full(6, end), sensor=False), degrees=True)
        for end in jaw
    ]
    assert [round(e["gripper.pos"], 3) for e in ends] == [0.0, 100.0]
    assert np.allclose(model.to_radians(ticks(there), sensor=True), there)


def test_it_follows_its_goal(plant: MujocoPlant) -> None:
    run(plant, ticks(RAISED), ON, 2.0)
    assert np.allclose(angles(plant), RAISED, atol=0.03), "and sags a little"


def test_without_torque_it_falls_and_then_lies(plant: MujocoPlant) -> None:
    run(plant, ticks(RAISED), ON, 2.0)
    height = Kinematics().tool(angles(plant))[2]
    run(plant, ticks(RAISED), OFF, 3.0)
    assert Kinematics().tool(angles(plant))[2] < height - 0.05
    before = angles(plant)
    run(plant, ticks(RAISED), OFF, 1.0)
    assert np.allclose(angles(plant), before, atol=0.02)


def test_one_joint_without_torque_leaves_the_others(plant: MujocoPlant) -> None:
    run(plant, ticks(RAISED), ON, 2.0)
    run(plant, ticks(RAISED), np.array([1, 1, 0, 1, 1, 1], bool), 2.0)
    off = np.abs(angles(plant) - RAISED)
    assert off[2] > 0.2
    assert np.all(np.delete(off, 2) < 0.05)


def test_torque_that_comes_on_pulls_from_where_the_arm_is(plant: MujocoPlant) -> None:
    run(plant, ticks(RAISED), OFF, 0.5)
    before = angles(plant)
    plant.step(ticks(RAISED), ON, STEP_S)
    assert np.allclose(angles(plant), before, atol=0.05)


def test_no_joint_is_faster_than_a_servo(plant: MujocoPlant) -> None:
    goal, fastest = ticks(RAISED + 0.5), 0.0
    for _ in range(400):
        plant.step(goal, ON, STEP_S)
        fastest = max(fastest, float(np.max(np.abs(plant.velocity))))
    assert TOP_SPEED_TICKS_S * 0.7 < fastest < TOP_SPEED_TICKS_S * 1.1


def test_a_blocked_joint_stays(plant: MujocoPlant) -> None:
    before = angles(plant)
    free = np.array([1, 0, 1, 1, 1, 1], bool)
    for _ in range(250):
        plant.step(ticks(RAISED), ON, STEP_S, free)
    assert abs(angles(plant)[1] - before[1]) < 0.01
    assert abs(angles(plant)[3] - RAISED[3]) < 0.05


def test_a_hand_moves_a_joint_and_stops_end_it(plant: MujocoPlant) -> None:
    low, high = plant.limits_ticks()
    plant.place(0, 2200.0)
    assert abs(plant.position[0] - 2200.0) < 1e-6
    plant.place(0, high[0] + 500)
    assert abs(plant.position[0] - high[0]) < 1e-6
    run(plant, low - 500, ON, 2.0)
    assert plant.position[0] > low[0] - 30


def test_a_process_that_stood_still_does_not_rush(plant: MujocoPlant, tmp_path: Path) -> None:
    plant.step(plant.position, ON, 3600.0)
    scene = SceneFile(tmp_path)
    assert scene.read().steps <= 0.5 / STEP_S
    scene.close()


def test_the_cube_starts_elsewhere_after_a_reset(plant: MujocoPlant, tmp_path: Path) -> None:
    scene = SceneFile(tmp_path)
    first = scene.read()
    plant.reset(7)
    second = scene.read()
    assert second.resets == first.resets + 1
    assert not np.allclose(first.cube[:2], second.cube[:2])
    plant.reset(7)
    assert np.allclose(scene.read().cube, second.cube), "a seed is a start"
    scene.close()


def test_every_start_is_within_reach() -> None:
    kinematics, random = Kinematics(), np.random.default_rng(3)
    for _ in range(40):
        cube = model.start_of_cube(random)
        guess = np.array([-np.arctan2(cube[1], cube[0]), -1.2, 0.8, 1.4, 0.0])
        assert kinematics.solve(cube[:3], 0.0, guess)[1] < 0.002


def test_a_lost_cube_is_put_back(plant: MujocoPlant, tmp_path: Path) -> None:
    scene = SceneFile(tmp_path)
    plant._data.qpos[6:9] = [0.7, 0.0, model.CUBE_HALF_M]
    run(plant, plant.position, OFF, 4.0)
    assert np.hypot(*(scene.read().cube[:2] - model.PAN_AXIS_M)) < 0.3
    assert scene.read().successes == 0
    scene.close()


def test_no_arm_no_scene(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no such MuJoCo arm"):
        SceneFile(tmp_path)
    plant = MujocoPlant(folder=tmp_path, seed=0)
    plant.close()
    with pytest.raises(DeviceError, match="no such MuJoCo arm"):
        SceneFile(tmp_path)


def test_an_arm_that_died_is_none(tmp_path: Path) -> None:
    plant = MujocoPlant(folder=tmp_path, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robots.emulator.mujoco_plant.time.monotonic", lambda: 0.0)
        plant.step(plant.position, ON, STEP_S)
    with pytest.raises(DeviceError, match="no such MuJoCo arm"):
        SceneFile(tmp_path)


def test_without_the_packages_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['mujoco'] = None\n"
        "from robots.emulator.plant import make_plant\n"
        "from robots.errors import DeviceError\n"
        "import numpy, pathlib\n"
        "try: make_plant('mujoco', pathlib.Path(sys.argv[1]), numpy.zeros(6), 0)\n"
        "except DeviceError as e: print(e)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert 'pip install "armada[physics]"' in said


# Cameras ----------------------------------------------------------------------------------


def test_a_frame_is_read_as_it_was_written(tmp_path: Path) -> None:
    camera = FrameFile(tmp_path / "f", 4, 6, create=True)
    assert camera.read() is None
    renderer = FrameFile(tmp_path / "f", 4, 6)
    for n in range(1, 4):
        renderer.write(np.full((4, 6, 3), n, np.uint8), n / 10)
        frame = camera.read()
        assert frame is not None
        assert (frame.number, frame.time_s) == (n, n / 10)
        assert np.all(frame.image == n)
    camera.close()
    renderer.close()


def test_a_view_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="One of: front, wrist, top"):
        SO101RenderedConfig(view="behind")


def test_a_camera_without_its_arm_says_so() -> None:
    with pytest.raises(DeviceError, match="no such MuJoCo arm"):
        SO101Rendered(SO101RenderedConfig(robot_id="nobody")).connect()


@pytest.fixture
def robot() -> Iterator[SO101Sim]:
    small = SO101RenderedConfig(width=64, height=48)
    robot = SO101Sim(SO101SimConfig(id=f"m{os.getpid()}", plant="mujoco", cameras={"front": small}))
    robot.connect()
    yield robot
    robot.disconnect()


@pytest.mark.parametrize("view", ["front", "wrist", "top"])
def test_every_view_shows_the_arm_move(robot: SO101Sim, view: str) -> None:
    config = SO101RenderedConfig(width=64, height=48, view=view, robot_id=str(robot.id))
    camera = make_cameras_from_configs({"c": config})["c"]
    camera.connect()
    before = camera.read()
    assert before.shape == (48, 64, 3)
    assert before.std() > 1, "there is something to be seen"
    goal = joints.to_robot_units(model.to_ticks(RAISED, sensor=False), degrees=True)
    robot.send_action(goal)

    def moved() -> bool:
        return bool(np.abs(camera.read_latest(10_000).astype(int) - before).max() > 40)

    wait_until(moved, what="the picture changed")
    camera.disconnect()
    assert not camera.is_connected
    with pytest.raises(ConnectionError):
        camera.read()


def test_a_camera_fails_as_it_is_told(robot: SO101Sim) -> None:
    camera = robot.cameras["front"]
    assert camera.async_read(timeout_ms=10_000).any()
    assert abs(time.perf_counter() - camera.latest_timestamp) < 10
    assert robot.id in [found["id"] for found in SO101Rendered.find_cameras()]

    write_faults(robot.folder, {"front": "black"})
    wait_until(lambda: not camera.read_latest(10_000).any(), what="black")

    write_faults(robot.folder, {"*": "stall"})
    wait_until(lambda: camera._faults.now() == "stall", what="it noticed")
    with contextlib.suppress(TimeoutError):
        camera.async_read(timeout_ms=0)
    with pytest.raises(TimeoutError, match="no new picture"):
        camera.async_read(timeout_ms=200)
    with pytest.raises(TimeoutError, match="too old"):
        camera.read_latest(max_age_ms=100)

    write_faults(robot.folder, {"front": "unplug"})

    def unplugged() -> bool:
        try:
            camera.read_latest(10_000)
        except RuntimeError as error:
            return "unplugged" in str(error)
        return False

    wait_until(unplugged, what="reading fails")
    camera.disconnect()
    with pytest.raises(ConnectionError, match="unplugged"):
        camera.connect()
    write_faults(robot.folder, {})
    wait_until(lambda: camera._faults.now() == "ok", what="it is plugged in again")
    camera.connect()
    assert camera.read_latest(10_000).any()


def test_a_renderer_that_died_is_an_error(robot: SO101Sim) -> None:
    camera = robot.cameras["front"]
    camera._renderer.kill()

    def failed() -> bool:
        try:
            camera.read_latest(10_000)
        except RuntimeError as error:
            return "renderer ended" in str(error)
        return False

    wait_until(failed, what="reading fails")


# The expert -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 4])
def test_the_expert_picks_up_the_cube_through_the_driver(seed: int) -> None:
    robot = SO101Sim(SO101SimConfig(id=f"e{os.getpid()}", plant="mujoco", seed=seed))
    robot.cameras = {}
    robot.connect()
    expert = make_teleoperator_from_config(ScriptedPickConfig(id=robot.id))
    expert.connect()
    assert expert.is_calibrated
    assert expert.action_features == robot.action_features
    judged: set[bool | None] = set()

    def drive() -> bool:
        judged.add(robot.success(robot.get_observation()))
        robot.send_action(expert.get_action())
        return bool(expert.finished)

    wait_until(drive, what="the expert is done")
    assert judged == {False, True}, "the robot's own check"
    scene = SceneFile(robot.folder)
    assert expert.success
    assert scene.read().successes == 1
    assert scene.read().cube[2] > 0.06
    scene.close()
    expert.disconnect()
    robot.disconnect()
    with pytest.raises(ConnectionError):
        expert.get_action()


def test_the_expert_puts_down_and_picks_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock of its own, plant and expert without what is between them."""
    clock = [100.0]
    monkeypatch.setattr("robots.sim.pick.folder", lambda _: tmp_path)
    plant = MujocoPlant(folder=tmp_path, seed=2)
    expert = make_teleoperator_from_config(ScriptedPickConfig(id="x", repeat=True))
    expert.connect()
    scene = SceneFile(tmp_path)
    monkeypatch.setattr("robots.sim.pick.time.monotonic", lambda: clock[0])
    for _ in range(30 * 25):
        expert.get_action()
        run(plant, ticks(expert._command), ON, 1 / 30)
        clock[0] += 1 / 30
    assert scene.read().successes >= 2
    assert not expert.finished
    expert.disconnect()
    scene.close()
    plant.close()


@pytest.mark.parametrize("field", ["speed", "attempts"])
def test_an_impossible_expert_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"--teleop.{field}=0: must be positive"):
        ScriptedPickConfig(**{field: 0})
