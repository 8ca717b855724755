"""What was trained on and pushed is remembered, by what episodes hold, not by their numbers."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from lerobot.datasets.dataset_tools import delete_episodes
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.data.fingerprint import fingerprints
from agent.data.used import is_safe_to_delete, note_pushed, note_trained, unused, uses
from robots.errors import DataError
from robots.replay.info import read_info


@pytest.fixture
def root(small_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_dataset, tmp_path / "set"))


def digests(root: Path, *episodes: int) -> list[str]:
    return list(fingerprints(read_info(root), episodes).values())


def test_an_episode_is_kept_until_it_was_trained_on_or_pushed(root: Path) -> None:
    assert unused(root) == [0, 1, 2]

    note_trained(root, digests(root, 1))
    note_pushed(root, digests(root, 2), "me/set")

    assert [is_safe_to_delete(root, i) for i in range(3)] == [False, True, True]
    assert unused(root) == [0]
    assert uses(root)[1].pushed == {}
    assert uses(root)[2].trained is None
    assert list(uses(root)[2].pushed) == ["me/set"]


def test_one_use_does_not_forget_the_other(root: Path) -> None:
    note_pushed(root, digests(root, 0), "me/set")
    note_trained(root, digests(root, 0))
    note_pushed(root, digests(root, 0), "me/copy")

    of = uses(root)[0]
    assert of.trained is not None
    assert set(of.pushed) == {"me/set", "me/copy"}


def test_it_stays_right_when_numbers_change(root: Path) -> None:
    note_trained(root, digests(root, 0, 2))
    shorter = root.parent / "shorter"
    delete_episodes(LeRobotDataset("test/set", root=root), [0], output_dir=shorter)
    shutil.rmtree(root)
    shorter.rename(root)

    assert [is_safe_to_delete(root, i) for i in range(2)] == [False, True]


def test_many_may_note_at_once(root: Path) -> None:
    digest = digests(root, 0)
    threads = [
        threading.Thread(target=note_pushed, args=(root, digest, f"me/set{i}")) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(uses(root)[0].pushed) == 8


def test_nothing_lies_in_the_data_set(root: Path) -> None:
    before = sorted(root.rglob("*"))
    note_trained(root, digests(root, 0))
    assert sorted(root.rglob("*")) == before


def test_a_damaged_memory_is_an_error_with_a_remedy(root: Path) -> None:
    note_trained(root, digests(root, 0))
    (root.parent / ".set.used.json").write_text(json.dumps({"episodes": {"x": None}}))

    with pytest.raises(DataError, match=r"\.set\.used\.json.*Delete it"):
        is_safe_to_delete(root, 0)


def test_there_must_be_such_an_episode(root: Path) -> None:
    with pytest.raises(DataError, match="no such episode"):
        is_safe_to_delete(root, 7)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_where_nothing_may_be_written_nothing_is_noted(root: Path) -> None:
    digest = digests(root, 0)
    root.parent.chmod(0o500)
    try:
        note_trained(root, digest)
    finally:
        root.parent.chmod(0o700)
    assert unused(root) == [0, 1, 2]
