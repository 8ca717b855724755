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
        whole: The fewest pictures that any camera has of each of them.
        pictures: Of each camera's video files, in all.
        bytes_: On the disk.
    """

    error: str = ""
    claimed: int = 0
    lengths: dict[int, int] = field(default_factory=dict)
    whole: dict[int, int] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    bytes_: int = 0


def look(root: Path, newest: int) -> Found:
    """Open a data set, read all its rows, and decode all pictures of the ``newest`` episodes; those
    of older ones are counted by how long their video files last."""
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
    lasts_s: dict[Path, float] = {}
    for episode in range(dataset.num_episodes):
        inside = rows["episode_index"] == episode
        if not inside.any():
            continue
        counted = rows["observation.state"][inside, 1].astype(int).tolist()
        if counted != list(range(len(counted))):
            raise ValueError(f"episode {episode} has rows {counted[:3]} …")
        number = int(numbers[inside][0])
        if number in found.lengths:
            raise ValueError(f"what was recorded as {number} is there twice")
        found.lengths[number] = len(counted)
        new = episode >= dataset.num_episodes - newest
        found.whole[number] = min(
            _decodable(dataset, episode, key) if new else _lasts(dataset, episode, key, lasts_s)
            for key in dataset.meta.video_keys
        )
        if new:
            dataset[int(rows["index"][inside][-1])]


def _span(dataset: LeRobotDataset, episode: int, key: str) -> tuple[Path, float, float]:
    """The file of an episode's pictures, and from when to when they lie in it."""
    about = dataset.meta.episodes[episode]
    path = dataset.root / dataset.meta.get_video_file_path(episode, key)
    return (
        path,
        about[f"videos/{key}/from_timestamp"],
        about[f"videos/{key}/to_timestamp"],
    )


def _decodable(dataset: LeRobotDataset, episode: int, key: str) -> int:
    path, begin_s, end_s = _span(dataset, episode, key)
    slack_s = 0.5 / dataset.fps
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        video.seek(int(begin_s / stream.time_base), stream=stream)
        times = [frame.time for frame in video.decode(stream)]
    return sum(begin_s - slack_s <= time < end_s - slack_s for time in times)


def _lasts(dataset: LeRobotDataset, episode: int, key: str, lasts_s: dict[Path, float]) -> int:
    path, begin_s, end_s = _span(dataset, episode, key)
    if path not in lasts_s:
        with av.open(str(path)) as video:
            lasts_s[path] = video.streams.video[0].frames / dataset.fps
    return max(0, round((min(end_s, lasts_s[path]) - begin_s) * dataset.fps))
