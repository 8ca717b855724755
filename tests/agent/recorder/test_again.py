"""Episodes that the operator drops or marks after their end; plain LeRobot opens what there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.data.fingerprint import fingerprints
from agent.data.lock import reading
from agent.recorder.marks import read_marks
from robots.replay.info import read_info
from tests.agent.recorder.test_recorder import FPS, Control, check_rows_and_pictures, opened


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    control = Control(tmp_path)
    yield control
    control.close()


def successes(dataset: LeRobotDataset) -> list[bool]:
    """Of the last row of each episode; in no other one there is any."""
    ends = [row["dataset_to_index"] - 1 for row in dataset.meta.episodes]
    said = [bool(dataset[i]["next.success"]) for i in range(len(dataset))]
    assert not any(said[i] for i in range(len(dataset)) if i not in ends)
    return [said[i] for i in ends]


def test_a_saved_episode_that_is_dropped_is_gone_and_the_next_has_its_place(
    control: Control,
) -> None:
    control.up()
    control.episode(10)
    control.episode(25, number=2)
    for _ in range(2):
        control.expect("saved")
    control.send("episode_drop", episode=2)
    dropped = control.expect("dropped")
    assert (dropped["episode"], dropped["episodes"], dropped["frames"]) == (2, 1, 10)
    check_rows_and_pictures(control.root, episodes=1, length=10)
    control.episode(10, number=3)
    assert control.expect("saved")["index"] == 1
    check_rows_and_pictures(control.root, episodes=2, length=10)
    assert control.hang_up() == 0


def test_the_first_one_too_and_one_that_is_still_to_be_saved(control: Control) -> None:
    control.up()
    control.episode(10)
    control.expect("saved")
    control.send("episode_drop", episode=1)
    assert control.expect("dropped")["episodes"] == 0
    assert not control.root.exists()
    control.episode(2 * FPS, number=2)
    control.send("episode_drop", episode=2)
    control.episode(10, number=3)
    assert control.expect("dropped")["episode"] == 2
    while control.expect("saved")["episode"] != 3:
        pass
    check_rows_and_pictures(control.root, episodes=1, length=10)
    assert control.hang_up() == 0
    assert not list((control.folder / ".data.staging").glob("open-*"))


def test_what_somebody_reads_stays_and_that_is_said(control: Control) -> None:
    control.up()
    control.episode(10)
    control.expect("saved")
    with reading(control.root):
        control.send("episode_drop", episode=1)
        said = control.expect("failed")["message"]
    assert "is being read" in said
    assert f"armada data delete {control.root} --episodes=0" in said
    assert opened(control.root).num_episodes == 1


def test_what_its_owner_put_beside_the_only_one_is_kept(control: Control) -> None:
    control.up()
    control.episode(10)
    control.expect("saved")
    (control.root / "README.md").write_text("a card")
    control.send("episode_drop", episode=1)
    control.expect("dropped")
    (kept,) = (control.folder / "data.recovered").rglob("README.md")
    assert kept.read_text() == "a card"
    control.episode(10, number=2)
    assert control.expect("saved")["index"] == 0


def test_what_became_of_an_episode_may_be_said_after_its_end(control: Control) -> None:
    control.up()
    for number in (1, 2):
        control.episode(10, number=number, success=number == 1)
        control.expect("saved")
        control.expect("checked")
        before = fingerprints(read_info(control.root))
        control.send("episode_mark", episode=number, success=number == 2)
        control.expect("marked")
        assert fingerprints(read_info(control.root)) == before, "it is the same episode"
    assert successes(opened(control.root)) == [False, True]
    for index in (0, 1):
        marks = read_marks(control.root, index)
        assert (marks["success"], marks["verdict"]) == (index == 1, "REJECTED")
    check_rows_and_pictures(control.root, episodes=2, length=10)
