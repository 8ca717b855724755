"""What the recorder itself says of its frames weighs in the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.data.check.finding import Finding, Verdict, Weight
from agent.data.check.gate import check_dataset
from agent.recorder.marks import FAULT, PICTURE_QUALITY
from robots.replay.info import read_info
from tests.agent.recorder.frames import TASK, pictures, row, writer

FRAMES = 40
MARKS = ("repeated", "fault")


def findings(root: Path, marked: range, **fields: Any) -> tuple[Verdict, list[Finding]]:
    """Of an episode of which these frames have these fields."""
    to = writer(root)
    episode = to.begin(TASK)
    for i in range(FRAMES):
        episode.add(row(i, **fields if i in marked else {}), pictures(i))
    episode.end({})
    to.save(episode)
    (report,) = check_dataset(root).episodes
    return report.verdict, [f for f in report.findings if f.rule in MARKS]


@pytest.mark.parametrize(("marked", "verdict", "weight"), [
    (3, Verdict.CLEAN, Weight.NOTE),
    (4, Verdict.REJECTED, Weight.BAD),
])  # fmt: skip
def test_marked_frames_are_noted_and_from_a_tenth_on_too_many(
    tmp_path: Path, marked: int, verdict: Verdict, weight: Weight
) -> None:
    which = range(marked)
    got, (fault,) = findings(tmp_path / "faulty", which, fault=True)
    assert (got, fault.rule, fault.weight) == (verdict, "fault", weight)
    assert (fault.feature, fault.frames) == ("", (0, marked - 1))
    assert f"{marked} of {FRAMES}" in fault.detail

    got, (lagged,) = findings(tmp_path / "lagged", which, quality=(1.0, 0.5))
    assert (got, lagged.rule, lagged.weight) == (verdict, "repeated", weight)
    assert (lagged.feature, lagged.frames) == ("top", (0, marked - 1))
    assert f"and {marked} are reduced" in lagged.detail


def test_a_picture_that_is_repeated_once_is_noted_and_an_old_one_counts(tmp_path: Path) -> None:
    got, (found,) = findings(tmp_path / "beside", range(1, FRAMES, 2), quality=(0.0, 1.0))
    assert (got, found.weight, found.feature) == (Verdict.CLEAN, Weight.NOTE, "front")
    assert "20 are the one before again, 0 of them not for the first time" in found.detail
    got, (found,) = findings(tmp_path / "slow", range(10, 15), quality=(0.0, 1.0))
    assert (got, found.weight, found.frames) == (Verdict.REJECTED, Weight.BAD, (10, 14))
    assert "5 are the one before again, 4 of them not for the first time" in found.detail
    assert findings(tmp_path / "good", range(0)) == (Verdict.CLEAN, [])


def test_a_data_set_without_marks_is_judged_by_the_rest(real: Path) -> None:
    assert not {FAULT, PICTURE_QUALITY} & set(read_info(real).features)
    assert check_dataset(real).verdict is Verdict.CLEAN
