"""Pictures of doubtful places."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from agent.data.check.gate import check_dataset
from agent.data.check.sheet import draw_sheets
from tests.agent.data.check.spoil import spoil_video


def test_an_episode_that_was_doubted_has_a_picture_and_no_other(copy: Path, tmp_path: Path) -> None:
    spoil_video(copy, lambda n, picture: picture * 0 if n >= 560 else picture)
    report = check_dataset(copy)
    (path,) = draw_sheets(report.info, report.episodes, tmp_path / "sheets")
    assert path.name == "episode_000002.png"
    with Image.open(path) as sheet:
        low, high = sheet.convert("L").getextrema()
        assert (low, high) == (0, 255)


def test_a_joints_curves_are_drawn(shared_data: Path, tmp_path: Path) -> None:
    report = check_dataset(shared_data / "so101_cube_state")
    paths = draw_sheets(report.info, report.episodes, tmp_path)
    assert len(paths) == 3
    with Image.open(paths[0]) as sheet:
        colours = {colour for _, colour in sheet.getcolors(1 << 16)}
    assert {(30, 90, 200), (220, 120, 20)} <= colours


def test_a_file_that_is_missing_still_has_its_words(copy: Path, tmp_path: Path) -> None:
    next((copy / "data").glob("*/*.parquet")).unlink()
    report = check_dataset(copy)
    assert len(draw_sheets(report.info, report.episodes, tmp_path / "sheets")) == 3
