"""What is kept beside what a policy learns from: in the frames, and what LeRobot makes of it."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pytest
from lerobot.datasets.dataset_tools import delete_episodes, merge_datasets, split_dataset
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.utils.feature_utils import dataset_to_policy_features

from agent.recorder import marks as m
from agent.recorder.config import RecordConfig
from agent.recorder.features import features
from agent.recorder.lerobot_form import RELEASE
from agent.recorder.writer import EpisodeWriter
from robots.errors import DataError
from tests.agent.recorder.frames import FPS, LAYOUT, TASK, add_frames, pictures, record, row, writer


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes: one that went well, one with a gap, a correction and a late camera."""
    root = tmp_path_factory.mktemp("marks") / "episodes"
    to = writer(root)
    record(to, 1, success=True, trigger="operator")
    episode = to.begin(TASK)
    episode.add(row(10, mark=2), pictures(0))
    episode.add(row(11, mark=2, intervention=True), pictures(1))
    # Control was late by two ticks, and the front camera had nothing new.
    late = row(14, mark=2, quality=(0.0, 0.5), taken_s=(row(11).time_s, row(14).time_s))
    episode.add(late, pictures(4) | {"front": None})
    episode.end({"success": None, "fault": "a knock"})
    to.save(episode)
    return root


def us(i: int) -> int:
    return round(row(i).time_s * 1e6)


def test_private_parts_are_those_of_the_installed_lerobot() -> None:
    """`lerobot_form.py` fills in for LeRobot's encoder: look at it anew with another release."""
    assert importlib.metadata.version("lerobot") == RELEASE


def test_ticks_that_are_missing_are_rows_that_say_so(root: Path) -> None:
    rows = LeRobotDataset("local/x", root=root, episodes=[1]).hf_dataset.with_format("numpy")[:]
    assert rows["frame_index"].tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(np.diff(rows["timestamp"]), 1 / FPS)
    assert rows[m.FAULT].tolist() == [False, False, True, True, False]
    assert rows[m.INTERVENTION].tolist() == [False, True, True, True, False]
    assert rows["observation.state"][:, 1].tolist() == [10, 11, 11, 11, 14]
    true = [us(i) for i in (10, 11, 11, 11, 14)]
    assert rows[m.TIME].tolist() == true, "a repeated row has the time of the one before"
    assert rows[m.PICTURE_QUALITY].tolist() == [[1, 1], [1, 1], [0, 0], [0, 0], [0, 0.5]]
    assert rows[m.PICTURE_TIME][-1].tolist() == [us(11), us(14)]


def test_success_is_said_in_the_last_frame(root: Path) -> None:
    rows = LeRobotDataset("local/x", root=root).hf_dataset.with_format("numpy")[:]
    assert np.flatnonzero(rows[m.SUCCESS]).tolist() == [7]


def test_the_marks_of_an_episode_are_a_file_of_its_own(root: Path) -> None:
    first, second = m.read_marks(root, 0), m.read_marks(root, 1)
    assert (first["success"], first["trigger"], first["recovered"]) == (True, "operator", False)
    assert (second["success"], second["fault"], second["intervention"]) == (None, "a knock", True)
    assert second["faulty_frames"] == 2
    assert second["cameras"]["front"] == {"repeated": 3, "reduced": 0}
    assert second["cameras"]["top"] == {"repeated": 2, "reduced": 1}
    assert m.read_marks(root, 7) == {}


def test_no_policy_takes_them_for_inputs() -> None:
    described = features(LAYOUT, video=True)
    inputs = dataset_to_policy_features(described)
    assert set(described) - set(inputs) == set(m.mark_features(LAYOUT))
    assert set(inputs) == {
        *("observation.state", "action", "observation.images.front", "observation.images.top")
    }


def test_lerobots_tools_carry_the_marks_of_frames_along(root: Path, tmp_path: Path) -> None:
    """Those of episodes stay behind, but can be found again by the time of the first frame."""
    whole = LeRobotDataset("local/x", root=root)
    left = delete_episodes(whole, [0], tmp_path / "left", "local/left")
    merged = merge_datasets([left, whole], "local/merged", tmp_path / "merged")
    assert merged.num_episodes == 3
    again = merged.hf_dataset.with_format("numpy")[:5]
    parts = split_dataset(whole, {"a": [0], "b": [1]}, tmp_path / "parts")
    for rows in (parts["b"].hf_dataset.with_format("numpy")[:], again):
        assert rows[m.FAULT].tolist() == [False, False, True, True, False]
        assert rows[m.PICTURE_QUALITY][-1].tolist() == [0, 0.5]
        assert rows[m.TIME][0] == m.read_marks(root, 1)["began_us"]
    assert parts["b"][4]["observation.images.top"].shape == (3, 48, 64)


def old_data_set(root: Path, **more: object) -> None:
    """As it was recorded before there were marks."""
    learned = {k: v for k, v in features(LAYOUT, video=False).items() if "." not in k or "obs" in k}
    dataset = LeRobotDataset.create(
        "local/old", FPS, learned | more, root=root, use_videos=False, robot_type="so101_sim"
    )
    for i in range(3):
        frame = {f"observation.images.{k}": p for k, p in pictures(i).items()}
        extra = {key: np.zeros(1, np.float32) for key in more}
        state = row(i).state
        dataset.add_frame(
            frame | extra | {"observation.state": state, "action": state, "task": TASK}
        )
    dataset.save_episode()
    dataset.finalize()


def test_a_data_set_from_before_there_were_marks_goes_on_without_them(tmp_path: Path) -> None:
    root = tmp_path / "episodes"
    old_data_set(root)
    to = writer(root, video=False)
    record(to, 5, success=True)
    dataset = LeRobotDataset("local/x", root=root)
    assert dataset.num_episodes == 2
    assert m.SUCCESS not in dataset.features
    assert dataset[10]["observation.state"].tolist() == [5, 7]
    assert m.read_marks(root, 1)["success"], "an episode's file needs no feature"


def test_a_data_set_with_something_that_is_not_recorded_here_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "episodes"
    old_data_set(root, **{"next.reward": {"dtype": "float32", "shape": (1,), "names": None}})
    with pytest.raises(DataError, match=r"next\.reward"):
        EpisodeWriter(root, LAYOUT, FPS, "so101_sim", RecordConfig(video=False))


def test_pictures_as_pictures_keep_their_marks_too(tmp_path: Path) -> None:
    root = tmp_path / "episodes"
    to = writer(root, video=False)
    episode = to.begin(TASK)
    add_frames(episode, 3, 2)
    episode.add(row(2, mark=3, quality=(0.0, 1.0)), pictures(2) | {"front": None})
    episode.end({})
    to.save(episode)
    dataset = LeRobotDataset("local/x", root=root)
    front = [round(float(dataset[i]["observation.images.front"].mean()) * 255) for i in range(3)]
    assert front[2] == front[1] != front[0]
    stats = json.loads((root / "meta" / "stats.json").read_text())
    assert stats["observation.images.top"]["count"] == [3]
