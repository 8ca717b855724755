"""Episodes are deleted where they lie; plain LeRobot opens what is left, marks included."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.data.delete import delete_episodes
from agent.data.fingerprint import fingerprints
from agent.data.lock import reading
from agent.data.used import note_trained
from agent.recorder.marks import read_marks
from agent.recorder.retention import make_room, size_b
from robots.errors import DataError
from robots.replay.info import read_info
from tests.agent.recorder.frames import record, shade, writer

LENGTHS = (8, 5, 6, 7)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four episodes, of which the third went well."""
    root = tmp_path_factory.mktemp("delete") / "episodes"
    to = writer(root)
    for mark, length in enumerate(LENGTHS):
        record(to, mark, length, success=mark == 2)
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "episodes"))


def marks(root: Path) -> list[int]:
    """Of all episodes; every row and picture is looked at."""
    dataset = LeRobotDataset("local/x", root=root)
    found = []
    at = 0
    for episode in range(dataset.num_episodes):
        row = dataset.meta.episodes[episode]
        assert (row["dataset_from_index"], row["episode_index"]) == (at, episode)
        for i in range(row["length"]):
            item = dataset[at]
            mark, number = item["observation.state"].tolist()
            assert (number, item["index"], item["episode_index"]) == (i, at, episode)
            seen = float(item["observation.images.top"].mean()) * 255
            assert abs(seen - shade(i)) < 6
            at += 1
        found.append(int(mark))
    assert at == len(dataset)
    return found


def test_what_is_left_is_numbered_anew_and_goes_on(root: Path) -> None:
    before = size_b(root)
    delete_episodes(root, [0, 1])
    assert marks(root) == [2, 3]
    assert read_marks(root, 0)["success"]
    assert size_b(root) < before
    assert not (root.parent / ".episodes.thinned").exists()
    record(writer(root), 9)
    assert marks(root) == [2, 3, 9]


def test_statistics_are_those_of_what_is_left(root: Path) -> None:
    delete_episodes(root, [0, 3])
    stats = LeRobotDataset("local/x", root=root).meta.stats
    assert stats["observation.state"]["min"].tolist() == [1, 0]
    assert stats["observation.state"]["max"].tolist() == [2, 5]
    assert stats["observation.state"]["count"].tolist() == [11]
    assert np.asarray(stats["observation.images.top"]["mean"]).shape == (3, 1, 1)


def test_whatever_else_lies_there_stays(root: Path) -> None:
    (root / "README.md").write_text("my card")
    (root / "notes" / "calibration").mkdir(parents=True)
    (root / "notes" / "calibration" / "arm.json").write_text("{}")
    (root / "notes" / "gone").symlink_to("nowhere")
    (root / "meta" / "marks" / ".episode-000000.json.17.tmp").write_text("half of")
    delete_episodes(root, [0, 1])
    assert (root / "README.md").read_text() == "my card"
    assert (root / "notes" / "calibration" / "arm.json").read_text() == "{}"
    assert (root / "notes" / "gone").is_symlink()
    assert {p.name for p in (root / "meta" / "marks").iterdir()} == {
        "episode-000000.json",
        "episode-000001.json",
    }
    assert len(list(root.rglob("*.mp4"))) == 2 * 2, "those of deleted episodes are gone"
    assert marks(root) == [2, 3]


def test_what_a_deletion_that_was_cut_off_left_is_removed_and_said(root: Path) -> None:
    """The old folder, after the exchange: it holds what was deleted."""
    left = Path(shutil.copytree(root, root.parent / ".episodes.thinned"))
    half = root / "meta" / "marks" / ".episode-000000.json.17.tmp"
    half.write_text("half of")
    again = writer(root)
    (said,) = again.repaired
    assert str(left) in said
    assert not left.exists()
    assert not half.exists()
    assert writer(root).repaired == []
    assert marks(root) == [0, 1, 2, 3]


def test_while_somebody_reads_nothing_is_deleted(root: Path) -> None:
    with reading(root), pytest.raises(DataError, match="read"):
        delete_episodes(root, [0])
    assert marks(root) == [0, 1, 2, 3]


def test_one_episode_stays_and_an_unknown_one_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match="no episode"):
        delete_episodes(root, [0, 1, 2, 3])
    with pytest.raises(DataError, match="no such"):
        delete_episodes(root, [7])


def test_a_quota_costs_the_oldest_that_were_used(root: Path) -> None:
    info = read_info(root)
    digests = fingerprints(info)
    note_trained(root, [digests[1], digests[2]])
    small_gb = size_b(root) / 1e9 - 1e-7
    assert make_room(root, 1.0, unused_too=False) == []
    assert make_room(root, small_gb, unused_too=False) == [1]
    assert marks(root) == [0, 2, 3]
    assert make_room(root, 1e-6, unused_too=False) == [1]
    assert make_room(root, 1e-6, unused_too=False) == [], "the others were never used"
    assert marks(root) == [0, 3]
    assert make_room(root, 1e-6, unused_too=True) == [0]
    assert marks(root) == [3]
