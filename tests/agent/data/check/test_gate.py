"""The gate on real recordings and on spoilt ones: the right verdict, and the reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.data.check.finding import Verdict, Weight
from agent.data.check.gate import DatasetReport, check_dataset
from agent.data.check.look import look_at_images
from agent.data.check.repair import repair
from agent.data.check.sheet import draw_sheets
from robots.errors import DataError
from tests.agent.data.check.spoil import (
    double,
    rewrite_episodes,
    rewrite_info,
    rewrite_rows,
    spoil_video,
    vectors,
    with_column,
)


def rules(report: DatasetReport, episode: int) -> set[str]:
    """What the episode is rejected or mended for."""
    findings = report.episodes[episode].findings
    return {finding.rule for finding in findings if finding.weight is not Weight.NOTE}


# Real ones ------------------------------------------------------------------------------------


def test_a_good_recording_is_clean(real: Path) -> None:
    report = check_dataset(real)
    assert report.verdict is Verdict.CLEAN
    assert report.usable == [0, 1, 2]
    notes = {f.rule for e in report.episodes for f in e.findings}
    assert notes == {"task"}, "its task is longer than is recommended, and that is a note"


def test_a_joint_that_was_stuck_in_a_real_recording_is_found(shared_data: Path) -> None:
    report = check_dataset(shared_data / "so101_cube_state")
    assert report.verdict is Verdict.REJECTED
    for episode in report.episodes:
        assert [(f.rule, f.feature) for f in episode.findings] == [("stuck", "wrist_roll.pos")]


# Spoilt ones ----------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", [True, False], ids=["claimed", "not claimed"])
def test_a_doubled_one_is_mended_to_the_original_in_all_its_rows(
    real: Path, copy: Path, tmp_path: Path, claim: bool
) -> None:
    double(copy, claim=claim)
    report = check_dataset(copy)
    assert report.verdict is Verdict.REPAIRED
    assert all(rules(report, e) == {"doubled"} for e in range(3))

    repair(report, tmp_path / "mended")

    (original,), (mended,) = (
        sorted((root / "data").glob("*/*.parquet")) for root in (real, tmp_path / "mended")
    )
    assert pq.read_table(mended).equals(pq.read_table(original))
    assert check_dataset(tmp_path / "mended").verdict is Verdict.CLEAN
    plain = LeRobotDataset("local/mended", root=tmp_path / "mended")
    assert (plain.num_episodes, plain.num_frames) == (3, 797)
    assert plain[796]["observation.images.wrist"].shape == (3, 224, 224)


def test_copies_that_differ_are_not_mended_by_guessing(copy: Path, tmp_path: Path) -> None:
    double(copy, claim=True)

    def differ(table: pa.Table) -> pa.Table:
        action = vectors(table, "action")
        action[300] += 1.0
        return with_column(table, "action", action.tolist())

    rewrite_rows(copy, differ)
    report = check_dataset(copy)
    assert report.verdict is Verdict.REJECTED
    assert any("copies differ" in f.detail for f in report.episodes[0].findings)
    with pytest.raises(DataError, match="episodes \\[0\\] are rejected"):
        repair(report, tmp_path / "mended")
    assert not (tmp_path / "mended").exists()


def test_a_gap(copy: Path) -> None:
    def gap(table: pa.Table) -> pa.Table:
        times = table["timestamp"].to_numpy().copy()
        times[100:280] += 0.2
        return with_column(table, "timestamp", times)

    rewrite_rows(copy, gap)
    report = check_dataset(copy)
    assert [rules(report, e) for e in range(3)] == [{"gap"}, set(), set()]
    (finding,) = (f for f in report.episodes[0].findings if f.rule == "gap")
    assert "after frame 99, is 250.0 ms" in finding.detail
    assert report.usable == [1, 2]


def test_another_rate_than_it_says(copy: Path) -> None:
    rewrite_info(copy, fps=30)
    report = check_dataset(copy)
    assert all("fps" in rules(report, e) for e in range(3))
    assert "20.00 Hz" in str(report.episodes[0].findings)


def test_rows_that_are_missing(copy: Path) -> None:
    rewrite_rows(copy, lambda table: table.slice(0, table.num_rows - 7))
    report = check_dataset(copy)
    assert rules(report, 2) == {"rows"}


def test_an_episode_without_rows(copy: Path, tmp_path: Path) -> None:
    rewrite_rows(copy, lambda table: table.filter(pc.not_equal(table["episode_index"], 1)))
    report = check_dataset(copy)
    assert [rules(report, e) for e in range(3)] == [set(), {"rows"}, set()]
    assert "no rows, " in str(report.episodes[1].findings)
    assert report.usable == [0, 2]
    draw_sheets(report.info, report.episodes, tmp_path)


def test_a_black_camera(copy: Path) -> None:
    spoil_video(copy, lambda n, picture: picture * 0 if n >= 280 else picture)
    report = check_dataset(copy)
    assert [rules(report, e) for e in range(3)] == [set(), {"black"}, {"black"}]


def test_a_camera_that_is_black_for_a_moment_is_noted(copy: Path) -> None:
    spoil_video(copy, lambda n, picture: picture * 0 if 100 <= n < 105 else picture)
    report = check_dataset(copy)
    assert report.verdict is Verdict.CLEAN
    (finding,) = (f for f in report.episodes[0].findings if f.rule == "black")
    assert finding.frames == (100, 104)


def test_a_frozen_camera(copy: Path) -> None:
    kept: list[Any] = []

    def freeze(number: int, picture: Any) -> Any:
        if number == 300:
            kept.append(picture)
        return kept[0] if 300 <= number < 460 else picture

    spoil_video(copy, freeze)
    report = check_dataset(copy)
    assert [rules(report, e) for e in range(3)] == [set(), {"frozen"}, set()]


def test_a_video_that_is_cut_off(copy: Path) -> None:
    spoil_video(copy, lambda n, picture: picture, frames=500)
    report = check_dataset(copy)
    assert [rules(report, e) for e in range(3)] == [set(), {"missing"}, {"missing"}]


def test_a_video_that_is_torn(copy: Path) -> None:
    (path,) = (copy / "videos").rglob("*.mp4")
    path.write_bytes(path.read_bytes()[:-200_000])
    report = check_dataset(copy)
    assert report.verdict is Verdict.REJECTED
    assert "missing" in rules(report, 2)


def test_a_joint_that_is_frozen(copy: Path) -> None:
    def freeze(table: pa.Table) -> pa.Table:
        state = vectors(table, "observation.state")
        state[280:560, 2] = 11.0
        return with_column(table, "observation.state", state.tolist())

    rewrite_rows(copy, freeze)
    report = check_dataset(copy)
    assert rules(report, 1) == {"stuck"}
    assert "elbow" in str(report.episodes[1].findings)


@pytest.mark.parametrize(
    ("value", "rule"), [(float("nan"), "number"), (5000.0, "range"), (190.0, "jump")]
)
def test_a_reading_that_is_none(copy: Path, value: float, rule: str) -> None:
    def spoil(table: pa.Table) -> pa.Table:
        state = vectors(table, "observation.state")
        state[50, 1] = value
        return with_column(table, "observation.state", state.tolist())

    rewrite_rows(copy, spoil)
    assert rule in rules(check_dataset(copy), 0)


def test_a_file_that_is_missing(copy: Path) -> None:
    (path,) = (copy / "data").glob("*/*.parquet")
    path.unlink()
    report = check_dataset(copy)
    assert report.usable == []
    assert "data/chunk-000/file-000.parquet can't be read" in str(report.episodes[0].findings)


def _without_time(table: pa.Table) -> pa.Table:
    return table.drop_columns(["timestamp"])


def _ragged(table: pa.Table) -> pa.Table:
    rows = vectors(table, "action").tolist()
    rows[0], rows[1] = rows[0][:-1], [*rows[1], 0.0]
    at = table.schema.get_field_index("action")
    return table.set_column(at, "action", pa.array(rows, pa.list_(pa.float32())))


def _narrow(table: pa.Table) -> pa.Table:
    state = vectors(table, "observation.state")[:, :-1].tolist()
    at = table.schema.get_field_index("observation.state")
    return table.set_column(at, "observation.state", pa.array(state, pa.list_(pa.float32())))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without_time, "timestamp is missing"),
        (_ragged, "action can't be read: has rows of several lengths"),
        (_narrow, "observation.state has 5 numbers, meta/info.json says 6"),
    ],
)
def test_columns_that_are_not_what_it_says(copy: Path, change: Any, said: str) -> None:
    rewrite_rows(copy, change)
    report = check_dataset(copy)
    assert 0 not in report.usable
    assert said in str(report.episodes[0].findings)


def test_an_empty_cell_where_a_picture_should_be() -> None:
    cells = pa.chunked_array([[None]], pa.struct([("bytes", pa.binary())]))
    assert look_at_images(cells).error


def test_a_data_set_that_grew_since_it_was_checked_is_not_mended(
    copy: Path, tmp_path: Path
) -> None:
    double(copy, claim=True)
    report = check_dataset(copy)
    earlier = dataclasses.replace(report, episodes=report.episodes[:2])
    with pytest.raises(DataError, match="has other episodes than when it was checked"):
        repair(earlier, tmp_path / "mended")
    assert not list(tmp_path.glob("*mended*"))


def test_an_episode_without_a_task(copy: Path) -> None:
    rewrite_episodes(copy, lambda row: row.update(tasks=[""]))
    assert all("task" in rules(check_dataset(copy), e) for e in range(3))


def test_claims_that_do_not_hold(copy: Path) -> None:
    rewrite_info(copy, total_episodes=5)
    report = check_dataset(copy)
    assert report.verdict is Verdict.REJECTED
    assert "claims 5 episodes, meta/episodes has 3" in str(report.findings)


def test_statistics_of_other_data_are_made_anew(copy: Path, tmp_path: Path) -> None:
    path = copy / "meta" / "stats.json"
    stats = json.loads(path.read_text())
    stats["action"]["mean"][3] += 50.0
    path.write_text(json.dumps(stats))
    report = check_dataset(copy)
    assert report.verdict is Verdict.REPAIRED
    assert report.usable == [0, 1, 2]
    repair(report, tmp_path / "mended")
    assert check_dataset(tmp_path / "mended").verdict is Verdict.CLEAN


def test_statistics_are_looked_at_beside_an_episode_that_is_rejected(copy: Path) -> None:
    spoil_video(copy, lambda n, picture: picture * 0 if n >= 280 else picture)
    assert not check_dataset(copy).findings
    (copy / "meta" / "stats.json").unlink()
    report = check_dataset(copy)
    assert report.verdict is Verdict.REJECTED
    assert {f.rule for f in report.findings} == {"stats"}


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="isn't a LeRobot data set"):
        check_dataset(tmp_path)
