"""A data set opens in plain LeRobot, and what LeRobot would trip over is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from lerobot.utils.import_utils import get_safe_default_video_backend
from torch.utils.data import DataLoader

from agent.data.open import open_dataset, open_info
from robots.errors import DataError

pytestmark = pytest.mark.shared_data


@pytest.fixture
def recorded(shared_data: Path) -> Path:
    return shared_data / "so101_cloth_wrist_3ep"


@pytest.fixture
def copy(recorded: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    root = tmp_path / "cloth"
    shutil.copytree(recorded, root, copy_function=shutil.copyfile)
    for folder in (root, *root.rglob("*")):
        if folder.is_dir():
            folder.chmod(0o755)
    return root


def edit_info(root: Path, **changes: Any) -> None:
    path = root / "meta" / "info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(root: Path) -> str:
    """The one line that a user sees; the same from both entry points."""
    with pytest.raises(DataError) as quick:
        open_info(root)
    with pytest.raises(DataError) as full:
        open_dataset(root)
    assert str(quick.value) == str(full.value)
    assert "\n" not in str(quick.value)
    return str(quick.value)


def test_it_decodes_by_what_lerobot_would_and_says_nothing_of_what_is_missing(
    recorded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset(recorded)
    assert "torchcodec" not in caplog.text
    assert dataset._video_backend == get_safe_default_video_backend()


def test_the_quick_reader_says_what_the_data_set_is(recorded: Path) -> None:
    info = open_info(recorded)
    assert info.fps == 20
    assert info.frames == 797
    assert [e.index for e in info.episodes] == [0, 1, 2]
    assert sum(e.length for e in info.episodes) == 797
    assert info.cameras == {"wrist": (224, 224, 3)}
    assert len(info.names("action")) == len(info.names("observation.state")) == 6
    assert all(e.tasks for e in info.episodes)


def test_it_opens_in_plain_lerobot_from_a_read_only_folder(recorded: Path) -> None:
    dataset = open_dataset(recorded)
    assert len(dataset) == 797
    item = dataset[796]
    assert tuple(item["observation.images.wrist"].shape) == (3, 224, 224)
    assert int(item["episode_index"]) == 2


def test_some_episodes_with_chunks_of_actions_load_in_batches(recorded: Path) -> None:
    info = open_info(recorded)
    dataset = open_dataset(
        recorded, episodes=[1], delta_timestamps={"action": [i / info.fps for i in range(10)]}
    )
    assert len(dataset) == info.episodes[1].length
    batch = next(iter(DataLoader(dataset, batch_size=4, shuffle=False)))
    assert tuple(batch["action"].shape) == (4, 10, 6)
    assert set(batch["episode_index"].tolist()) == {1}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refusal(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    assert "meta/info.json" in refusal(tmp_path)


def test_an_info_that_is_not_json(copy: Path) -> None:
    (copy / "meta" / "info.json").write_text('{"fps": 20,')
    assert "info.json" in refusal(copy)


def test_an_info_that_lacks_a_field(copy: Path) -> None:
    path = copy / "meta" / "info.json"
    info = json.loads(path.read_text())
    del info["features"]
    path.write_text(json.dumps(info))
    assert "features" in refusal(copy)


def test_v21_is_refused_with_lerobots_converter(copy: Path) -> None:
    edit_info(copy, codebase_version="v2.1")
    said = refusal(copy)
    assert "v2.1" in said
    assert "lerobot.scripts.convert_dataset_v21_to_v30" in said
    assert f"--root={copy}" in said
    assert "--push-to-hub=false" in said


def test_a_missing_video_is_named(copy: Path) -> None:
    video = next((copy / "videos").rglob("*.mp4"))
    video.unlink()
    assert str(video) in refusal(copy)


def test_a_missing_data_file_is_named(copy: Path) -> None:
    data = next((copy / "data").rglob("*.parquet"))
    data.unlink()
    assert str(data) in refusal(copy)


def test_a_data_file_without_its_footer_is_named(copy: Path) -> None:
    data = next((copy / "data").rglob("*.parquet"))
    data.write_bytes(data.read_bytes()[:-200])
    assert str(data) in refusal(copy)


def test_episode_metadata_without_its_footer_is_named(copy: Path) -> None:
    meta = next((copy / "meta" / "episodes").rglob("*.parquet"))
    meta.write_bytes(meta.read_bytes()[:100])
    assert str(meta) in refusal(copy)


def test_missing_episode_metadata_is_refused(copy: Path) -> None:
    shutil.rmtree(copy / "meta" / "episodes")
    refusal(copy)


def test_more_episodes_claimed_than_there_are(copy: Path) -> None:
    edit_info(copy, total_episodes=12)
    assert "12 episodes" in refusal(copy)


def test_fewer_rows_than_the_episodes_claim(copy: Path) -> None:
    """LeRobot opens this and fails at the first frame that isn't there."""
    data = next((copy / "data").rglob("*.parquet"))
    pq.write_table(pq.read_table(data).slice(0, 700), data)
    said = refusal(copy)
    assert str(data) in said or str(copy) in said
    assert "700" in said


def test_a_wrong_number_of_frames_is_refused(copy: Path) -> None:
    edit_info(copy, total_frames=800)
    assert "800" in refusal(copy)


def test_missing_tasks_are_refused(copy: Path) -> None:
    (copy / "meta" / "tasks.parquet").unlink()
    assert "tasks.parquet" in refusal(copy)
