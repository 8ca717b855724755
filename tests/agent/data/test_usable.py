"""What the quality gate didn't let pass is neither trained on nor measured on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.data.check.finding import Verdict
from agent.data.usable import Usable, usable
from agent.recorder.marks import marks_path, write_marks
from robots.replay.info import read_info
from tests.agent.recorder.frames import record, writer
from tests.agent.recorder.test_saver import saving
from tests.helpers import wait_until


@pytest.fixture
def root(small_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_dataset, tmp_path / "episodes"))


def judge(root: Path, *verdicts: str) -> Usable:
    for index, verdict in enumerate(verdicts):
        write_marks(root, index, {"success": None} | ({"verdict": verdict} if verdict else {}))
    return usable(read_info(root))


def test_a_data_set_that_was_recorded_elsewhere_is_usable_as_it_is(root: Path) -> None:
    found = usable(read_info(root))
    assert (found.episodes, found.left_out, found.part, str(found)) == ([0, 1, 2], 0, None, "")
    assert found.split() == ([0, 1], [2])


def test_only_what_was_found_clean_is_used_and_the_rest_is_counted(root: Path) -> None:
    found = judge(root, Verdict.REJECTED, Verdict.CLEAN, "")
    assert (found.episodes, found.unclean, found.unjudged) == ([1], 1, 1)
    assert found.split() == ([1], [])
    assert found.part == [1]
    assert str(found) == "; 2 more are left out (1 not clean, 1 not judged yet)"

    # What could be mended isn't yet; two beside one that has no marks are all that is left.
    found = judge(root, Verdict.REPAIRED, Verdict.CLEAN)
    marks_path(root, 2).unlink()
    found = usable(read_info(root))
    assert (found.episodes, str(found)) == ([1, 2], "; 1 more are left out (1 not clean)")
    assert usable(read_info(root), unclean=True) == Usable(episodes=[0, 1, 2])


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b"7"])
def test_torn_marks_wait_for_the_recorder(root: Path, torn: bytes) -> None:
    judge(root, Verdict.CLEAN, Verdict.CLEAN, Verdict.CLEAN)
    marks_path(root, 1).write_bytes(torn)
    found = usable(read_info(root))
    assert (found.episodes, found.unjudged) == ([0, 2], 1)


def test_what_is_recorded_here_is_not_used_before_it_was_judged(tmp_path: Path) -> None:
    root = tmp_path / "recorded"
    to = writer(root)
    # More than a second, and less.
    for mark, frames in enumerate((40, 8, 40)):
        record(to, mark, frames)
    before = usable(read_info(root))
    assert (before.episodes, before.unjudged) == ([], 3)
    with saving(root) as (_, told):
        wait_until(lambda: len(told.of("checked")) == 3, what="verdicts")
    after = usable(read_info(root))
    assert (after.episodes, after.unclean) == ([0, 2], 1)
