"""The scene shows arm and goal, the scripted expert reaches it, plain LeRobot can use all of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np
import pytest
from lerobot.cameras.utils import make_cameras_from_configs
from lerobot.configs.parser import load_plugin
from lerobot.robots import RobotConfig
from lerobot.teleoperators import TeleoperatorConfig, make_teleoperator_from_config

from robots.emulator import joints
from robots.emulator.world import World, WorldFile, folder
from robots.errors import DeviceError
from robots.registry import register_all
from robots.sim import ScriptedReachConfig, SO101SceneConfig, SO101Sim, SO101SimConfig
from robots.sim.scene import draw
from robots.success import ChecksSuccess
from tests.helpers import wait_until


@pytest.fixture
def robot() -> Iterator[SO101Sim]:
    robot = SO101Sim(SO101SimConfig(id=f"s{os.getpid()}", goal_period_s=1.2))
    robot.connect()
    yield robot
    robot.disconnect()


def world(position: float = 0.5, goal: float = 0.5) -> World:
    low, high = joints.limits()
    return World(low + position * (high - low), low + goal * (high - low), 0, 0, 0.0)


def test_everything_is_registered_for_flags() -> None:
    register_all()
    known = RobotConfig.get_known_choices()
    assert {"so101_follower", "so100_follower", "so101_sim", "replay"} <= set(known)
    assert "scripted_reach" in TeleoperatorConfig.get_known_choices()


def test_plain_lerobot_finds_it_as_a_plug_in() -> None:
    load_plugin("robots")
    assert "so101_sim" in RobotConfig.get_known_choices()


@pytest.mark.parametrize("joint", range(6))
def test_every_goal_joint_shows_in_the_picture(joint: int) -> None:
    low, high = joints.limits()
    here, there = world(), world()
    there.goal[joint] += 0.1 * (high - low)[joint]
    assert np.any(draw(here, (96, 96)) != draw(there, (96, 96)))


@pytest.mark.parametrize("joint", range(6))
def test_every_arm_joint_shows_in_the_picture(joint: int) -> None:
    low, high = joints.limits()
    here, there = world(), world()
    there.position[joint] += 0.1 * (high - low)[joint]
    assert np.any(draw(here, (96, 96)) != draw(there, (96, 96)))


@pytest.mark.parametrize("shape", [(96, 96), (480, 640), (224, 224)])
def test_the_picture_has_the_size_asked_for(shape: tuple[int, int]) -> None:
    assert draw(world(), shape).shape == (*shape, 3)


def test_the_camera_paces_itself(robot: SO101Sim) -> None:
    camera = make_cameras_from_configs({"c": SO101SceneConfig(robot_id=robot.id, fps=2)})["c"]
    camera.connect()
    began = time.monotonic()
    for _ in range(3):
        assert camera.async_read(timeout_ms=1000).shape == (96, 96, 3)
    assert time.monotonic() - began >= 2 / 2
    assert camera.read_latest() is camera.read_latest(), "within a period it is the same picture"
    with pytest.raises(TimeoutError):
        camera.async_read(timeout_ms=0)
    camera.disconnect()
    assert not camera.is_connected
    with pytest.raises(ConnectionError):
        camera.read()


def test_the_running_arms_are_found(robot: SO101Sim) -> None:
    from robots.sim import SO101Scene

    assert robot.id in [found["id"] for found in SO101Scene.find_cameras()]


def test_the_expert_reaches_its_goals(robot: SO101Sim) -> None:
    expert = make_teleoperator_from_config(ScriptedReachConfig(id=robot.id, reach_s=0.5))
    expert.connect()
    assert expert.is_calibrated
    assert expert.action_features == robot.action_features
    view = WorldFile(folder(robot.id) / "world")

    def drive() -> bool:
        robot.send_action(expert.get_action())
        return view.read().goals >= 5

    wait_until(drive, what="four goals had their time")
    seen = view.read()
    # The first goal may be half over when the expert begins.
    assert seen.hits >= seen.goals - 2
    expert.disconnect()
    with pytest.raises(ConnectionError):
        expert.get_action()


def test_nobody_there_is_a_clear_error() -> None:
    expert = make_teleoperator_from_config(ScriptedReachConfig(id="nobody"))
    with pytest.raises(DeviceError, match="no such emulated arm"):
        expert.connect()


def test_it_says_when_its_goal_is_reached() -> None:
    robot = SO101Sim(SO101SimConfig(id=f"j{os.getpid()}", goal_period_s=1e6))
    assert isinstance(robot, ChecksSuccess)
    assert robot.success({}) is None, "it isn't switched on"
    robot.connect()
    try:
        assert robot.success(robot.get_observation()) is False
        shown = WorldFile(folder(str(robot.id)) / "world")
        goal = joints.to_robot_units(shown.read().goal, degrees=True)
        shown.close()
        robot.send_action(goal)
        wait_until(lambda: robot.success(robot.get_observation()) is True)
    finally:
        robot.disconnect()
