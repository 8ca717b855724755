"""Recorded actions as what drives an arm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.control.arm import Observation
from agent.control.guard import Guard
from agent.control.limits import GuardConfig
from agent.control.recorded import APPROACH_S, RecordedSource, check_actions
from agent.control.recorded_config import RecordedConfig
from agent.ipc import FrameLayout
from robots.arm.ranges import JointRange
from robots.errors import ConfigError, DataError
from robots.replay.frames import EpisodeFrames
from robots.replay.info import read_info
from tests.datasets import JOINTS, make_dataset

FPS = 10
LAYOUT = FrameLayout(JOINTS, JOINTS, ())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("recorded") / "d", episodes=2, fps=FPS)


class Player:
    """An arm that goes where it is sent."""

    def __init__(self, root: Path, episodes: list[int], *, speed: float = 1.0) -> None:
        ranges = dict.fromkeys(JOINTS, JointRange(-120.0, 120.0, 1e4))
        self.guard = Guard(JOINTS, ranges, 1 / FPS, GuardConfig())
        config = RecordedConfig(dataset=str(root), episodes=episodes, speed=speed)
        self.source = RecordedSource(config, LAYOUT, self.guard, FPS)
        self.pose = np.full(len(JOINTS), -30.0, np.float32)
        self.tick = 0
        self.trips: list[str] = []

    def step(self, ticks: int = 1) -> np.ndarray:
        for _ in range(ticks):
            proposal = self.source.propose(self.tick, Observation(self.pose, {}, 0.0))
            self.tick += 1
            if proposal is not None:
                verdict = self.guard.check(proposal, self.pose)
                self.trips += [*verdict.trips]
                assert verdict.action is not None
                self.pose = verdict.action
        return self.pose

    def until(self, pose: np.ndarray) -> None:
        for _ in range(200):
            if self.step() == pytest.approx(pose, abs=1e-3):
                return
        raise AssertionError(f"never at {pose}")


def recorded(root: Path, episode: int) -> np.ndarray:
    frames = EpisodeFrames(read_info(root), episode, cameras=())
    frames.close()
    return frames.action


def test_a_smooth_way_to_the_first_pose_then_every_action(root: Path) -> None:
    player = Player(root, [1])
    actions = recorded(root, 1)
    start = player.pose
    assert player.step() == pytest.approx(start)
    player.step(int(APPROACH_S * FPS))
    assert player.step() == pytest.approx(actions[0], abs=1e-3)
    player.until(actions[1])
    for action in actions[2:]:
        assert player.step() == pytest.approx(action, abs=1e-3)
    player.step()
    assert player.source.finished
    (episode,) = player.source.to_json()
    assert (episode["episode"], episode["frames"]) == (1, len(actions))
    assert set(episode["largest_by_joint"]) == set(JOINTS)
    assert not [trip for trip in player.trips if trip == "out of range"]


def test_what_interrupts_it_is_followed_by_a_smooth_way_back(root: Path) -> None:
    player = Player(root, [0])
    actions = recorded(root, 0)
    player.until(actions[5])
    player.source.reset()
    player.pose = np.full(len(JOINTS), 60.0, np.float32)
    player.tick += 50
    player.step(3)
    assert player.pose != pytest.approx(actions[6], abs=5), "not by a jump"
    player.until(actions[5])
    player.until(actions[6])


def test_episodes_follow_each_other_and_time_decides(root: Path) -> None:
    player = Player(root, [0, 1], speed=0.5)
    while not player.source.finished:
        player.step()
    first, second = player.source.to_json()
    assert (first["episode"], second["episode"]) == (0, 1)
    assert first["frames"] == 2 * len(recorded(root, 0)), "half as fast"
    assert player.source.propose(player.tick, Observation(player.pose, {}, 0.0)) is None


def test_another_robot_s_actions_are_refused(root: Path) -> None:
    config = RecordedConfig(dataset=str(root), episodes=[0])
    with pytest.raises(DataError, match="the robot's are x"):
        check_actions(config, replace(LAYOUT, action_names=("x",)))
    with pytest.raises(DataError, match="no such episode"):
        check_actions(RecordedConfig(dataset=str(root), episodes=[7]), LAYOUT)
    with pytest.raises(ConfigError, match="episode"):
        RecordedConfig(dataset=str(root))
