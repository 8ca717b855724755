"""Pictures of doubtful places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
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


def test_the_pictures_are_those_frames_in_colour_and_in_detail(copy: Path, tmp_path: Path) -> None:
    red, blue, green = (220, 20, 20), (20, 20, 220), (20, 220, 20)

    def stripes(n: int, picture: Any) -> Any:
        picture[:] = red if n < 700 else green
        picture[:, np.arange(picture.shape[1]) // 4 % 2 == 1] = blue
        return picture * 0 if 640 <= n < 700 else picture

    spoil_video(copy, stripes)
    report = check_dataset(copy)
    (doubt,) = (f for f in report.episodes[2].findings if f.rule == "black")
    paths = draw_sheets(report.info, report.episodes, tmp_path / "sheets")
    assert doubt.frames is not None
    with Image.open(paths[2]) as sheet:
        seen = np.asarray(sheet).astype(int)
    # The sheet begins before the black ones, shows them, and ends behind them.
    strip = [seen[:, i * 256 : (i + 1) * 256] for i in range(6)]
    assert [
        [bool((np.abs(tile - c).max(axis=2) < 60).sum() > 4000) for c in (red, blue, green)]
        for tile in (strip[0], strip[2], strip[5])
    ] == [[True, True, False], [False, False, False], [False, True, True]]


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
