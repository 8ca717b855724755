"""From what a user calls a data set to its folder."""

from __future__ import annotations

from pathlib import Path

from robots.errors import DataError


def locate(dataset: str) -> Path:
    """The folder of a local data set or of a hub id that LeRobot keeps on this machine.

    Raises:
        DataError: neither a folder nor a data set that was fetched.
    """
    path = Path(dataset).expanduser()
    if path.is_dir():
        return path
    # Imported here: where LeRobot keeps its data sets is LeRobot's to say.
    from lerobot.utils.constants import HF_LEROBOT_HOME, HF_LEROBOT_HUB_CACHE

    kept = Path(HF_LEROBOT_HOME) / dataset
    if not path.is_absolute() and (kept / "meta" / "info.json").is_file():
        return kept
    cached = _cached(dataset, Path(HF_LEROBOT_HUB_CACHE))
    if cached is not None:
        return cached
    is_id = dataset.count("/") == 1 and not path.is_absolute()
    raise DataError(
        "there is no such data set",
        field="dataset",
        value=dataset,
        remedy="Name a folder, or a hub id that is on this machine "
        f"(`armada data pull {dataset if is_id else 'NAME/DATASET'}` gets one)",
    )


def _cached(repo_id: str, cache: Path) -> Path | None:
    """Where ``LeRobotDataset(repo_id)`` put what it fetched: a snapshot of the version it can read,
    else of the newest."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for revision in ("v3.0", "main"):
        try:
            found = try_to_load_from_cache(
                repo_id, "meta/info.json", cache_dir=cache, revision=revision, repo_type="dataset"
            )
        except HFValidationError:
            return None
        if isinstance(found, str):
            return Path(found).parents[1]
    return None
