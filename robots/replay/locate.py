"""From what a user calls a data set to its folder."""

from __future__ import annotations

from pathlib import Path

from robots.errors import DataError


def locate(dataset: str) -> Path:
    """The folder of a local data set or of a hub id that LeRobot keeps on this machine.

    Raises:
        DataError: neither a folder nor a data set that LeRobot has downloaded.
    """
    path = Path(dataset).expanduser()
    if path.is_dir():
        return path
    # Imported here: where LeRobot keeps its data sets is LeRobot's to say.
    from lerobot.utils.constants import HF_LEROBOT_HOME

    cached = Path(HF_LEROBOT_HOME) / dataset
    if not path.is_absolute() and (cached / "meta" / "info.json").is_file():
        return cached
    raise DataError(
        "there is no such data set",
        field="dataset",
        value=dataset,
        remedy=f"Name a folder, or a hub id that is in {HF_LEROBOT_HOME} "
        "(`python -c 'from lerobot.datasets import LeRobotDataset; LeRobotDataset(ID)'` gets it)",
    )
