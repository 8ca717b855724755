"""What the seams benchmark compares is the same question put to LeRobot's code and to ours."""

from __future__ import annotations

import numpy as np
import pytest

from agent.control.merging.config import MergeConfig
from agent.policy.load import LoadedPolicy
from benchmarks.seams.__main__ import Contender, Row, play
from benchmarks.seams.lerobot import LeRobotClient, LeRobotRTC
from benchmarks.seams.ours import Ours
from benchmarks.seams.recording import Episode
from tests.datasets import CAMERA, JOINTS, SIZE, TASK

DELAY, HORIZON, TICKS = 3, 8, 40


@pytest.fixture(scope="module")
def episode() -> Episode:
    path = np.cumsum(np.ones((TICKS, len(JOINTS)), np.float32), axis=0)
    pictures = np.random.default_rng(0).integers(0, 255, (TICKS, SIZE, SIZE, 3), np.uint8)
    return Episode(path, path + 1, {CAMERA: pictures}, TASK)


def told(contender: Contender, episode: Episode) -> np.ndarray:
    return play(contender, episode, DELAY, HORIZON, seed=1)[0]


def test_weighted_is_tick_for_tick_what_lerobot_s_client_tells_the_arm(
    loaded: LoadedPolicy, episode: Episode
) -> None:
    theirs = LeRobotClient("", loaded, "weighted_average")
    ours = Ours("", loaded, MergeConfig(merge="weighted"))
    np.testing.assert_allclose(told(ours, episode), told(theirs, episode), atol=1e-3)


def test_guidance_joins_chunks_and_so_does_lerobot_s(
    loaded: LoadedPolicy, episode: Episode
) -> None:
    rows = {}
    for name, contender in {
        "newest": Ours("", loaded, MergeConfig(merge="newest")),
        "exact": Ours("", loaded, MergeConfig(merge="rtc")),
        "identity": Ours("", loaded, MergeConfig(merge="rtc", guidance="identity")),
        "lerobot": LeRobotRTC("", loaded),
    }.items():
        actions, seams = play(contender, episode, DELAY, HORIZON, seed=1)
        assert seams == [0, *range(HORIZON + DELAY, TICKS, HORIZON)]
        rows[name] = Row()
        rows[name].add(actions, seams[1:], episode.action)
    rms = {name: float(np.square(np.concatenate(row.seams)).mean()) for name, row in rows.items()}
    assert max(rms["exact"], rms["identity"], rms["lerobot"]) < rms["newest"]
    assert len(rows["exact"].cells().split("|")) == 6
