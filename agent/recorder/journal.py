"""The rows of an episode while it is recorded: one line of JSON each, only ever appended.

A line that a crash cut off, or that a power cut left as zeros, ends what can be read; all before it
is whole. The first line says what the episode is of, the last one, when there is one, how it ended.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.ipc import FrameLayout
from agent.recorder.row import Row
from robots.errors import DataError

_FORMAT = 1


@dataclass(frozen=True)
class Header:
    """What an episode is of.

    Args:
        layout: The robot's features.
        fps: Nominal rate.
        robot_type: For the metadata.
        task: In words.
        video: Whether pictures are kept as video.
    """

    layout: FrameLayout
    fps: int
    robot_type: str
    task: str
    video: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "layout": self.layout.to_json(),
            "fps": self.fps,
            "robot_type": self.robot_type,
            "task": self.task,
            "video": self.video,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Header:
        """The other way.

        Raises:
            ValueError, KeyError, TypeError: it is none, or of another version.
        """
        if data["format"] != _FORMAT:
            raise ValueError(f"format {data['format']}, this reads {_FORMAT}")
        return cls(
            FrameLayout.from_json(data["layout"]),
            int(data["fps"]),
            str(data["robot_type"]),
            str(data["task"]),
            bool(data["video"]),
        )


class Journal:
    """Writes.

    Args:
        path: A new file.
        header: Its first line, on the disk when this returns.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._file = path.open("xb")
        self.rows = 0
        self._line(header.to_json())
        self.to_disk()

    def add(self, row: Row) -> None:
        """Append a row: safe from a crash of this process at once, from a power cut with the next
        ``to_disk``."""
        self._line(row.to_json())
        self.rows += 1

    def end(self, marks: dict[str, Any]) -> None:
        """The episode is over and to be kept."""
        self._line({"end": marks})

    def to_disk(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _line(self, what: object) -> None:
        self._file.write(json.dumps(what, separators=(",", ":")).encode() + b"\n")
        self._file.flush()


@dataclass(frozen=True)
class Written:
    """What a journal says.

    Args:
        header: Of what.
        rows: In order, consecutive ticks.
        marks: How it ended; ``None``: it was cut off.
    """

    header: Header
    rows: list[Row] = field(repr=False)
    marks: dict[str, Any] | None


def read_journal(path: Path) -> Written:
    """All that can be read of a journal.

    Raises:
        DataError: not even its first line.
    """
    lines = path.read_bytes().split(b"\n")
    try:
        header = Header.from_json(json.loads(lines[0]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"is no journal ({error})", field="journal", value=path) from error
    rows: list[Row] = []
    marks: dict[str, Any] | None = None
    # What follows the last line's end was cut off.
    for line in lines[1:-1]:
        try:
            said = json.loads(line)
            if isinstance(said, dict):
                marks = dict(said["end"])
                break
            row = Row.from_json(said)
        except (ValueError, KeyError, TypeError):
            break
        if rows and row.tick != rows[-1].tick + 1:
            break
        rows.append(row)
    return Written(header, rows, marks)
