"""The journal of rows: what a crash cut off is missing, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.recorder.journal import Header, Journal, read_journal
from robots.errors import DataError
from tests.agent.recorder.frames import LAYOUT, row

HEADER = Header(LAYOUT, 30, "so101_sim", "Pick up the cube", True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three rows."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, HEADER)
    for i in range(3):
        journal.add(row(i, mark=7))
    journal.close()
    return path


def test_rows_come_back_as_they_were(path: Path) -> None:
    written = read_journal(path)
    assert written.header == HEADER
    assert written.marks is None
    assert [r.tick for r in written.rows] == [0, 1, 2]
    assert np.array_equal(written.rows[2].action, row(2, mark=7).action)
    assert written.rows[1].time_s == row(1).time_s
    assert written.rows[1].quality == (1, 1)


def test_at_whatever_byte_it_is_cut_the_rows_before_are_whole(path: Path) -> None:
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert len(read_journal(path).rows) == sum(end <= cut for end in ends[1:])


def test_zeros_that_a_power_cut_left_end_it(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + bytes(40))
    assert len(read_journal(path).rows) == 2


def test_an_orderly_end_is_known_by_its_marks(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", HEADER)
    journal.add(row(0))
    journal.end({"success": True})
    journal.close()
    assert read_journal(tmp_path / "j").marks == {"success": True}


def test_a_file_without_a_first_line_is_none(tmp_path: Path) -> None:
    (tmp_path / "j").write_text('{"format": 1, "lay')
    with pytest.raises(DataError, match="journal"):
        read_journal(tmp_path / "j")
