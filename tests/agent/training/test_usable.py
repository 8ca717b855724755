"""Training leaves out what the quality gate didn't let pass, and frames that are faults."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from lerobot.configs.policies import PreTrainedConfig

from agent.data.check.finding import Verdict
from agent.data.share_stats import share_stats
from agent.federation.payload.statistics import FEATURES, gather
from agent.ipc import FrameLayout, ImageSpec
from agent.recorder.config import RecordConfig
from agent.recorder.marks import write_marks
from agent.recorder.writer import EpisodeWriter
from agent.training.episodes import Episodes
from agent.training.frames import TrainingFrames
from agent.training.measure import measure
from agent.training.processors import own_stats
from robots.errors import DataError
from robots.replay.info import read_info
from tests.agent.recorder.frames import row
from tests.agent.training.test_train import run
from tests.datasets import CAMERA, JOINTS, SIZE, TASK, make_dataset

FRAMES = 12
LAYOUT = FrameLayout(JOINTS, JOINTS, (ImageSpec(CAMERA, SIZE, SIZE),))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four episodes, of which the first and the last were rejected."""
    root = make_dataset(tmp_path / "episodes", episodes=4, frames=8)
    for index in (0, 3):
        write_marks(root, index, {"verdict": Verdict.REJECTED})
    return root


def test_rejected_episodes_are_neither_trained_on_nor_measured_on(
    policy: Path, root: Path, tmp_path: Path
) -> None:
    info = read_info(root)
    chosen = Episodes.choose(info)
    assert (list(chosen.training), list(chosen.heldout), chosen.left_out) == ([1], [2], 2)
    assert Episodes.from_json(chosen.to_json()).found(info) == chosen
    every = Episodes.choose(info, unclean=True)
    assert (list(every.training), list(every.heldout), every.left_out) == ([0, 1, 2], [3], 0)

    result = run(policy, root, tmp_path, steps=1)
    assert (result.samples, result.episodes, result.left_out) == (8, 1, 2)
    assert result.trained_on == tuple(chosen.training.values())
    assert run(policy, root, tmp_path, steps=1, unclean=True).samples == 24


def test_the_normaliser_is_that_of_what_is_used(root: Path) -> None:
    part = own_stats(root, {}, episodes=[1, 2])["action"]
    assert np.array_equal(part["max"], share_stats(root, [1, 2])["action"]["max"])
    assert not np.array_equal(part["max"], own_stats(root, {})["action"]["max"])


def test_a_robot_whose_episodes_are_all_rejected_says_so(
    policy: Path, root: Path, tmp_path: Path
) -> None:
    for index in range(4):
        write_marks(root, index, {"verdict": Verdict.REJECTED} if index else {"success": True})
    left_out = r"4 more are left out \(3 not clean, 1 not judged yet\)"
    with pytest.raises(DataError, match=f"0 episodes are too few to train on; {left_out}"):
        run(policy, root, tmp_path, steps=1)
    processors = tmp_path / "processors"
    with pytest.raises(DataError, match=f"0 episodes are too few to hold one out; {left_out}"):
        measure(policy_path=policy, processors=processors, dataset_root=root)
    assert not processors.exists()


def recorded(root: Path, *faults: range) -> Path:
    """An episode for each of these; its frames in the range are faults."""
    to = EpisodeWriter(root, LAYOUT, 10, "so101_follower", RecordConfig(video=False))
    black = np.zeros((SIZE, SIZE, 3), np.uint8)
    for which in faults:
        episode = to.begin(TASK)
        for i in range(FRAMES):
            values = np.full(len(JOINTS), i, np.float32)
            tick = row(i, taken_s=(float(i),), quality=(1.0,), fault=i in which)
            episode.add(dataclasses.replace(tick, state=values, action=values), {CAMERA: black})
        episode.end({"verdict": Verdict.CLEAN})
        to.save(episode)
    return root


def test_faults_are_no_frames_to_learn_from(policy: Path, tmp_path: Path) -> None:
    root = recorded(tmp_path / "episodes", range(0), range(3, 8), range(11, 12))
    config = PreTrainedConfig.from_pretrained(policy)
    frames = TrainingFrames(root, [1, 2], config, {}, batch_size=3, seed=0)
    assert len(frames) == 2 * FRAMES - 6
    seen: set[tuple[int, int]] = set()
    for step in range(len(frames) // 3):
        batch = frames.batch(step)
        seen |= set(
            zip(batch["episode_index"].tolist(), batch["frame_index"].tolist(), strict=True)
        )
    sound = {(1, i) for i in range(FRAMES) if not 3 <= i < 8} | {(2, i) for i in range(11)}
    assert seen == sound
    assert gather(root, [1, 2], {})[FEATURES[0]].count == len(frames)


def test_nothing_but_faults_is_said(policy: Path, tmp_path: Path) -> None:
    root = recorded(tmp_path / "episodes", range(FRAMES))
    with pytest.raises(DataError, match="all frames of its training episodes are faults"):
        run(policy, root, tmp_path, steps=1)
