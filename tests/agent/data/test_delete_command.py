"""``armada data delete``: what is left passes the check, and keeps its marks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.commands.data import COMMAND
from agent.data.check.finding import Verdict
from agent.data.check.gate import check_dataset
from agent.data.check.repair import repair
from agent.data.lock import recording
from agent.recorder.marks import read_marks, write_marks
from robots.errors import ArmadaError, ConfigError, DataError
from robots.replay.info import read_info
from tests.agent.recorder.frames import LENGTH, TASK, record, writer


@pytest.fixture
def root(small_dataset: Path, tmp_path: Path) -> Path:
    """Three episodes with marks, and a card."""
    root = Path(shutil.copytree(small_dataset, tmp_path / "set"))
    for index in range(3):
        write_marks(root, index, {"was": index})
    (root / "README.md").write_text("a card")
    return root


def left(root: Path) -> list[int]:
    """What the episodes that are there were, by their marks."""
    count = LeRobotDataset("local/x", root=root).num_episodes
    return [read_marks(root, index)["was"] for index in range(count)]


def test_without_yes_it_only_says_what_would_go(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["delete", str(root), "--episodes=0,2"]
    assert COMMAND.main(argv) == 1
    said = capsys.readouterr().out
    assert "2 of 3 episodes" in said
    assert "Nothing was deleted" in said
    assert left(root) == [0, 1, 2]
    assert COMMAND.main([*argv, "--yes=true"]) == 0
    assert left(root) == [1]
    assert (root / "README.md").read_text() == "a card"


def test_rejected_ones_go_and_the_rest_is_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "recorded"
    to = writer(root)
    for mark, length in enumerate((40, LENGTH, 45)):
        record(to, mark, length)
    with pytest.raises(DataError, match="can't be mended") as refused:
        repair(check_dataset(root), root.parent / "mended")
    delete = ["delete", str(root), "--rejected=true"]
    assert f"armada data {' '.join(delete)}" in str(refused.value), "the remedy"
    assert COMMAND.main(delete) == 1
    said = capsys.readouterr().out
    assert f"episode 1: {LENGTH} frames of {TASK} — short" in said
    assert "1 of 3 episodes" in said
    assert COMMAND.main([*delete, "--yes=true"]) == 0
    assert [read_marks(root, index)["frames"] for index in range(2)] == [40, 45]
    assert check_dataset(root).verdict is Verdict.CLEAN
    assert COMMAND.main(delete) == 0
    assert "nothing to delete" in capsys.readouterr().out


def test_what_is_wrong_with_an_episode_does_not_keep_it_there(tmp_path: Path) -> None:
    root = tmp_path / "recorded"
    to = writer(root)
    for mark, length in enumerate((40, 41, 45)):
        record(to, mark, length)
    lost = read_info(root).episode(1)
    lost.data.write_bytes(b"half of it")
    next(iter(lost.videos.values())).path.unlink()

    assert COMMAND.main(["delete", str(root), "--rejected=true", "--yes=true"]) == 0

    assert LeRobotDataset("local/x", root=root).num_episodes == 2
    assert [read_marks(root, index)["frames"] for index in range(2)] == [40, 45]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_is_left_to_him(root: Path) -> None:
    os.chown(root, 65534, -1)
    with pytest.raises(DataError, match=r"belongs to nobody.*sudo -u nobody"):
        COMMAND.main(["delete", str(root), "--episodes=1"])
    assert left(root) == [0, 1, 2]


def test_while_somebody_records_nothing_is_deleted(root: Path) -> None:
    argv = ["delete", str(root), "--episodes=1", "--yes=true"]
    with recording(root), pytest.raises(DataError, match="another recorder"):
        COMMAND.main(argv)
    assert left(root) == [0, 1, 2]


def test_what_it_needs(root: Path, tmp_path: Path) -> None:
    delete = ["delete", str(root)]
    with pytest.raises(ConfigError, match="FOLDER"):
        COMMAND.main(["delete"])
    with pytest.raises(ConfigError, match="one of both"):
        COMMAND.main(delete)
    with pytest.raises(ConfigError, match="one of both"):
        COMMAND.main([*delete, "--episodes=1", "--rejected=true"])
    with pytest.raises(ConfigError, match="Like 3,7"):
        COMMAND.main([*delete, "--episodes=first"])
    with pytest.raises(ConfigError, match="isn't a folder"):
        COMMAND.main(["delete", str(tmp_path / "none"), "--episodes=1"])
    with pytest.raises(ArmadaError, match="no such"):
        COMMAND.main([*delete, "--episodes=7"])
    with pytest.raises(DataError, match="Delete the folder"):
        COMMAND.main([*delete, "--episodes=0-2", "--yes=true"])
    assert left(root) == [0, 1, 2]
