"""A recording as a robot and as a camera; what can't be played is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from lerobot.cameras.utils import make_cameras_from_configs
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.robots import make_robot_from_config

from robots.errors import ArmadaError, ConfigError, DataError
from robots.replay import ReplayCameraConfig, ReplayRobot, ReplayRobotConfig
from robots.replay.info import read_info
from tests.helpers import wait_until

pytestmark = pytest.mark.shared_data


@pytest.fixture
def cloth(shared_data: Path) -> Path:
    return shared_data / "so101_cloth_wrist_3ep"


@pytest.fixture
def copy(cloth: Path, tmp_path: Path) -> Path:
    shutil.copytree(cloth, tmp_path / "copy", copy_function=shutil.copy)
    for path in (tmp_path / "copy").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (tmp_path / "copy").chmod(0o755)
    return tmp_path / "copy"


def player(dataset: Path, **fields: object) -> ReplayRobot:
    robot = make_robot_from_config(ReplayRobotConfig(dataset=str(dataset), **fields))  # type: ignore[arg-type]
    assert isinstance(robot, ReplayRobot)
    return robot


def test_its_features_are_the_recordings(cloth: Path) -> None:
    robot = player(cloth)
    assert next(iter(robot.action_features)) == "shoulder_pan.pos"
    assert robot.observation_features["wrist"] == (224, 224, 3)
    assert robot.task == "Grasp the cloth and pull it with the left arm"


def test_frames_are_lerobots_frames(cloth: Path) -> None:
    robot = player(cloth, episodes=[1], speed=0.0)
    robot.connect()
    reference = LeRobotDataset("local/cloth", root=cloth, episodes=[1])
    for i in (0, 1, 2, 40, 41, 100):
        while robot.position[1] < i:
            observation = robot.get_observation()
        item = reference[i]
        state = [observation[name] for name in robot.action_features]
        np.testing.assert_allclose(state, item["observation.state"].numpy(), rtol=1e-6)
        np.testing.assert_allclose(robot.recorded_action(), item["action"].numpy(), rtol=1e-6)
        image = (item["observation.images.wrist"].permute(1, 2, 0).numpy() * 255).round()
        assert np.abs(observation["wrist"].astype(int) - image).max() <= 1
    robot.disconnect()


def test_it_plays_every_episode_and_is_finished(cloth: Path) -> None:
    robot = player(cloth, speed=0.0)
    robot.connect()
    seen = []
    while not robot.finished:
        robot.get_observation()
        if not robot.finished:
            seen.append(robot.position)
    table = read_info(cloth)
    assert seen == [(e.index, i) for e in table.episodes for i in range(e.length)]
    robot.disconnect()


def test_a_loop_is_never_finished(shared_data: Path) -> None:
    robot = player(shared_data / "so101_cube_state", episodes=[2], speed=0.0, loop=True)
    robot.connect()
    length = read_info(shared_data / "so101_cube_state").episode(2).length
    for _ in range(length + 3):
        robot.get_observation()
    assert robot.position == (2, 2)
    assert not robot.finished


def test_paced_it_follows_the_clock(cloth: Path) -> None:
    robot = player(cloth, episodes=[0], speed=5.0)
    robot.connect()
    robot.get_observation()
    assert robot.position == (0, 0)

    def later() -> bool:
        robot.get_observation()
        return robot.position[1] >= 30

    wait_until(later)
    robot.disconnect()


def test_the_camera_plays_and_paces(cloth: Path) -> None:
    camera = make_cameras_from_configs({"c": ReplayCameraConfig(dataset=str(cloth))})["c"]
    assert (camera.fps, camera.width, camera.height) == (20, 224, 224)
    camera.connect()
    first = camera.async_read(timeout_ms=1000)
    second = camera.async_read(timeout_ms=1000)
    assert first.shape == (224, 224, 3)
    assert np.any(first != second)

    def nothing_new() -> bool:
        camera.async_read(timeout_ms=1000)
        try:
            camera.async_read(timeout_ms=0)
        except TimeoutError:
            return True
        return False

    wait_until(nothing_new, what="two looks within a frame's time")
    camera.disconnect()
    with pytest.raises(ConnectionError):
        camera.read()


def test_the_camera_has_the_recordings_size_and_no_other(cloth: Path) -> None:
    with pytest.raises(ValueError, match="the recording has 224"):
        make_cameras_from_configs({"c": ReplayCameraConfig(dataset=str(cloth), width=640)})


def test_a_camera_that_was_not_recorded_is_refused(shared_data: Path) -> None:
    with pytest.raises(ValueError, match="no such camera"):
        make_cameras_from_configs(
            {"c": ReplayCameraConfig(dataset=str(shared_data / "so101_cube_state"))}
        )


# What can't be played -------------------------------------------------------------------------


def refused(dataset: Path, match: str) -> None:
    with pytest.raises(ArmadaError, match=match):
        ReplayRobot(ReplayRobotConfig(dataset=str(dataset)))


def edit(root: Path, **fields: object) -> None:
    path = root / "meta" / "info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_no_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none", "there is no such data set")


def test_no_data_set(tmp_path: Path) -> None:
    refused(tmp_path, r"no meta/info\.json")


def test_another_version_names_the_converter(copy: Path) -> None:
    edit(copy, codebase_version="v2.1")
    refused(copy, r"format v2\.1.*convert_dataset_v21_to_v30")


def test_a_missing_video_is_named(copy: Path) -> None:
    next(copy.glob("videos/*/*/*.mp4")).unlink()
    refused(copy, r"file-000\.mp4: a video file is missing")


def test_a_missing_data_file_is_named(copy: Path) -> None:
    next(copy.glob("data/*/*.parquet")).unlink()
    refused(copy, r"file-000\.parquet: a data file is missing")


def test_a_data_file_without_footer_is_named(copy: Path) -> None:
    path = next(copy.glob("data/*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    refused(copy, r"file-000\.parquet: a data file is damaged")


def test_unreadable_metadata(copy: Path) -> None:
    (copy / "meta" / "info.json").write_text("{")
    refused(copy, "can't be read")


def test_incomplete_metadata(copy: Path) -> None:
    edit(copy, features={"action": {}})
    refused(copy, "metadata is incomplete")


def test_claims_that_the_metadata_does_not_keep(copy: Path) -> None:
    edit(copy, total_episodes=12)
    refused(copy, "claims 12 episodes, meta/episodes has 3")


def test_an_episode_that_is_not_there(cloth: Path) -> None:
    with pytest.raises(DataError, match=r"episode=7: there is no such episode.*0 to 2"):
        ReplayRobot(ReplayRobotConfig(dataset=str(cloth), episodes=[7]))


def test_no_data_set_named() -> None:
    with pytest.raises(ConfigError, match=r"--robot\.dataset: is missing"):
        ReplayRobotConfig()


def test_names_of_components(cloth: Path) -> None:
    info = read_info(cloth)
    assert info.names("action")[-1] == "gripper.pos"
    assert info.frames == pq.read_table(next(cloth.glob("data/*/*.parquet"))).num_rows
