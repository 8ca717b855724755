"""An open episode whose encoders are slow, silent, or not to be had."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.data.delete import delete_episodes
from agent.recorder import episode as module
from agent.recorder.camera import Camera
from agent.recorder.video import VideoFile
from tests.agent.recorder.frames import LENGTH, TASK, add_frames, pictures, record, row, writer
from tests.helpers import wait_until


def encoders() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("encoder-")]


def test_one_of_a_single_picture_leaves_the_data_set_open_to_lerobot(tmp_path: Path) -> None:
    """LeRobot reads the columns of all episodes as those of the first: none may have fewer."""
    root = tmp_path / "episodes"
    to = writer(root)
    record(to, 1, frames=1)
    record(to, 2)
    # A camera that shows one picture all the while.
    still = to.begin(TASK)
    for i in range(LENGTH):
        still.add(row(i, mark=3), pictures(0) if i == 0 else {})
    still.end({})
    to.save(still)

    dataset = LeRobotDataset("local/x", root=root)
    assert [e["length"] for e in dataset.meta.episodes] == [1, LENGTH, LENGTH]

    delete_episodes(root, [0, 1])
    assert LeRobotDataset("local/x", root=root).num_frames == LENGTH


def test_an_encoder_that_has_put_out_nothing_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SVT-AV1 looks ahead, and an arm may hold before it acts."""
    monkeypatch.setattr(module, "TO_DISK_EVERY_S", 0.001)
    looked = 0
    to_disk = VideoFile.to_disk

    def counted(self: VideoFile) -> None:
        nonlocal looked
        to_disk(self)
        looked += 1

    monkeypatch.setattr(VideoFile, "to_disk", counted)
    to = writer(tmp_path / "episodes")
    episode = to.begin(TASK)
    assert not list(episode.folder.glob("*.mp4"))
    wait_until(lambda: looked > 2)
    episode.check()
    add_frames(episode, 1)
    episode.end({})
    assert to.save(episode).frames == LENGTH


def test_one_that_cannot_be_begun_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Camera] = []

    def second_fails(*args: Any) -> Camera:
        if made:
            raise OSError("no such device")
        made.append(Camera(*args))
        return made[0]

    monkeypatch.setattr(module, "Camera", second_fails)
    to = writer(tmp_path / "episodes")
    with pytest.raises(OSError, match="no such device"):
        to.begin(TASK)
    made[0].join()
    assert encoders() == []
    assert list((tmp_path / ".episodes.staging").iterdir()) == []


def test_when_one_encoder_dies_the_others_still_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of the episode is cut from their files as soon as they are joined."""
    go_on = threading.Event()
    add = VideoFile.add

    def slow_or_dead(self: VideoFile, picture: Any) -> None:
        if self.path.stem == "front":
            raise OSError("the device is gone")
        go_on.wait(30)
        add(self, picture)

    monkeypatch.setattr(VideoFile, "add", slow_or_dead)
    to = writer(tmp_path / "episodes")
    episode = to.begin(TASK)
    add_frames(episode, 1)
    episode.end({})
    threading.Timer(0.2, go_on.set).start()
    with pytest.raises(OSError, match="the device is gone"):
        episode.join()
    assert [camera.encoded for camera in episode.cameras] == [0, LENGTH]
