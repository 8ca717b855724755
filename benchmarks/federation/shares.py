"""A recording, divided among robots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lerobot.datasets.dataset_tools import split_dataset
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.recorder.scheduling import no_realtime
from robots.replay.info import read_info


def shares(data: Path, robots: Sequence[str], out: Path, *, each: int | None = None) -> list[Path]:
    """By LeRobot: a data set for each robot, every n-th episode in it.

    Args:
        data: The recording.
        robots: Names.
        out: Folder for the data sets.
        each: So many episodes each; None: all of them are dealt out.
    """
    episodes = len(read_info(data).episodes)
    splits = {name: [*range(i, episodes, len(robots))][:each] for i, name in enumerate(robots)}
    split_dataset(LeRobotDataset(f"local/{data.name}", root=data), splits, out)
    # LeRobot encodes AV1 here, and what a benchmark starts would all be real-time.
    no_realtime()
    return [out / name for name in splits]
