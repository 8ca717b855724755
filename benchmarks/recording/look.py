"""What plain LeRobot finds in a data set: nothing of ours is in the way."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import av
import datasets
from lerobot.datasets.lerobot_dataset import LeRobotDataset


@dataclass
class Found:
    """What opens.

    Args:
        error: Why it doesn't; empty: it does.
        claimed: Episodes, as ``info.json`` says.
        lengths: Rows of each episode that can be read, by the number that its rows carry.
        pictures: Of each video file, in all.
        bytes_: On the disk.
    """

    error: str = ""
    claimed: int = 0
    lengths: dict[int, int] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    bytes_: int = 0


def look(root: Path, newest: int) -> Found:
    """Open a data set, read all its rows, and decode the last picture of each of the ``newest``
    episodes."""
    found = Found()
    info = root / "meta" / "info.json"
    if not info.is_file():
        return found
    found.claimed = int(json.loads(info.read_text())["total_episodes"])
    found.bytes_ = sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    if not found.claimed:
        return found
    with tempfile.TemporaryDirectory() as cache:
        datasets.config.HF_DATASETS_CACHE = Path(cache)
        try:
            _read(LeRobotDataset("local/x", root=root), newest, found)
        except Exception as error:  # noqa: BLE001 - whatever a user would see
            found.error = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    for path in sorted((root / "videos").rglob("*.mp4")):
        try:
            with av.open(str(path)) as video:
                key = path.parts[-3].rpartition(".")[2]
                found.pictures[key] = found.pictures.get(key, 0) + video.streams.video[0].frames
        except av.FFmpegError:
            continue
    return found


def _read(dataset: LeRobotDataset, newest: int, found: Found) -> None:
    rows = dataset.hf_dataset.with_format("numpy")[:]
    numbers = rows["observation.state"][:, 0].astype(int)
    for episode in range(dataset.num_episodes):
        inside = rows["episode_index"] == episode
        if not inside.any():
            continue
        counted = rows["observation.state"][inside, 1].astype(int).tolist()
        if counted != list(range(len(counted))):
            raise ValueError(f"episode {episode} has rows {counted[:3]} …")
        found.lengths[int(numbers[inside][0])] = len(counted)
        if episode >= dataset.num_episodes - newest:
            dataset[int(rows["index"][inside][-1])]
