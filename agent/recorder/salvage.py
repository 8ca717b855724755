"""What an episode's folder holds: all after an orderly end, else up to where it was cut off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from agent.recorder.camera import Camera
from agent.recorder.episode import JOURNAL, picture_place
from agent.recorder.journal import Header, read_journal
from agent.recorder.pictures import whole_pictures
from agent.recorder.row import Row
from agent.recorder.sample import PictureSample
from agent.recorder.video import pictures, trim

Statistics = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Salvaged:
    """An episode as it lies in its folder.

    Args:
        folder: Where.
        header: Of what.
        rows: As many as every camera has pictures.
        lost: Rows that a camera has no picture for.
        marks: How it ended; ``None``: it was cut off.
        statistics: Camera key → of its pictures, for videos.
    """

    folder: Path
    header: Header
    rows: list[Row]
    lost: int
    marks: dict[str, Any] | None
    statistics: dict[str, Statistics | None]


def salvage(folder: Path, *, cameras: list[Camera] | None = None) -> Salvaged:
    """Read an episode's folder.

    Args:
        folder: Of an episode that nobody writes to any more.
        cameras: Those that wrote it, when they are still there: then nothing is decoded.

    Raises:
        DataError: not even its journal can be read.
    """
    written = read_journal(folder / JOURNAL)
    statistics: dict[str, Statistics | None] = {}
    counts: list[int] = []
    if cameras is not None:
        for camera in cameras:
            counts.append(camera.encoded)
            statistics[camera.key] = camera.sample.statistics()
    else:
        for spec in written.header.layout.images:
            place = picture_place(folder, spec.key, video=written.header.video)
            if not written.header.video:
                counts.append(whole_pictures(place))
                continue
            sample = PictureSample()
            if place.is_file():
                trim(place)
                for picture in pictures(place, written.header.fps):
                    sample.add(picture)
            counts.append(sample.seen)
            statistics[spec.key] = sample.statistics()
    length = min([len(written.rows), *counts])
    return Salvaged(
        folder,
        written.header,
        written.rows[:length],
        len(written.rows) - length,
        written.marks,
        statistics,
    )
