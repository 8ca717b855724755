"""What is recorded here goes through LeRobot's own commands: ``lerobot-edit-dataset``,
``lerobot-dataset-viz``. What they make of the marks: ``test_marks.py``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.streaming_dataset import StreamingLeRobotDataset
from lerobot.scripts import lerobot_dataset_viz, lerobot_edit_dataset

from agent.data.open import video_decoder
from tests.agent.recorder.frames import LENGTH, record, shade, writer

EPISODES = 3

Edit = Callable[..., None]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tools") / "data"
    to = writer(root)
    for mark in range(EPISODES):
        record(to, mark)
    return root


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Edit:
    """``lerobot-edit-dataset --operation.type=…``."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # It would take the test runner's handlers away.
    monkeypatch.setattr(lerobot_edit_dataset, "init_logging", lambda: None)

    def run(operation: str, **options: object) -> None:
        flags = [f"--{name}={value}" for name, value in options.items()]
        argv = ["lerobot-edit-dataset", f"--operation.type={operation}", *flags]
        monkeypatch.setattr(sys, "argv", argv)
        lerobot_edit_dataset.main()

    return run


def marks(root: Path) -> list[int]:
    """Of the episodes in a data set; the last picture of each can be decoded."""
    dataset = LeRobotDataset("local/x", root=root)
    assert len(dataset) == LENGTH * dataset.num_episodes
    last = [dataset[LENGTH * (i + 1) - 1] for i in range(dataset.num_episodes)]
    assert all(item["observation.images.top"].shape == (3, 48, 64) for item in last)
    return [int(item["observation.state"][0]) for item in last]


def test_split_merge_and_delete(root: Path, tmp_path: Path, edit: Edit) -> None:
    here = {"repo_id": "local/data", "root": root}
    splits = '{"a": [0, 2], "b": [1]}'
    edit("split", **here, new_root=tmp_path, **{"operation.splits": splits})
    parts = [tmp_path / name for name in ("a", "b")]
    assert [marks(part) for part in parts] == [[0, 2], [1]]

    edit(
        "merge",
        new_repo_id="local/merged",
        new_root=tmp_path / "merged",
        **{
            "operation.repo_ids": "['local/a', 'local/b', 'local/data']",
            "operation.roots": str([str(path) for path in (*parts, root)]),
        },
    )
    assert marks(tmp_path / "merged") == [0, 2, 1, 0, 1, 2]

    to = {"new_repo_id": "local/less", "new_root": tmp_path / "less"}
    edit("delete_episodes", **here, **to, **{"operation.episode_indices": "[0, 1]"})
    assert marks(tmp_path / "less") == [2]
    assert marks(root) == [0, 1, 2], "what was recorded is as it was"


@pytest.mark.parametrize("video", [False, True], ids=["pictures", "video"])
def test_it_is_streamed(tmp_path: Path, video: bool) -> None:
    if video and video_decoder() != "torchcodec":
        pytest.skip("it reads video by torchcodec alone, which needs FFmpeg's libraries")
    to = writer(tmp_path / "data", video=video)
    for mark in range(2):
        record(to, mark)
    dataset = StreamingLeRobotDataset("local/x", root=tmp_path / "data")

    seen = []
    for item in dataset:
        mark, i = (int(number) for number in item["observation.state"])
        seen.append((mark, i))
        picture = item["observation.images.top"]
        assert picture.shape == (3, 48, 64)
        assert abs(float(picture.mean()) * 255 - shade(i)) < 6

    assert sorted(seen) == [(mark, i) for mark in range(2) for i in range(LENGTH)]


def test_info(root: Path, edit: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    edit("info", repo_id="local/data", root=root, **{"operation.show_features": "true"})
    said = capsys.readouterr().out
    assert f"Total episode: {EPISODES}" in said
    assert f"Total frame(Actual Count): {EPISODES * LENGTH}({EPISODES * LENGTH})" in said
    assert "complementary_info.is_fault" in said


def test_viz_saves_an_episode(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(lerobot_dataset_viz, "init_logging", lambda: None)
    flags = "--repo-id local/data --episode-index 1 --save 1 --num-workers 0 --batch-size 4"
    where = ["--root", str(root), "--output-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["lerobot-dataset-viz", *flags.split(), *where])
    lerobot_dataset_viz.main()
    (saved,) = tmp_path.glob("*episode_1.rrd")
    assert saved.stat().st_size > 0
