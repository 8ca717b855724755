"""A data set from the hub, to where LeRobot looks for it."""

from __future__ import annotations

import shutil
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

from agent.data.hub.leaving import link_or_copy
from agent.data.hub.marks import goes_on, hub_marks, marks
from agent.data.hub.talk import talking
from agent.data.lock import recording, writing
from agent.data.open import open_info
from agent.policy.atomic import sync
from agent.recorder.staging import PATIENCE_S, Staging, turn
from robots.errors import ConfigError, LinkError
from robots.replay.info import CONVERTER, VERSION, DatasetInfo

_NOTES = ".cache"
"""Where huggingface_hub keeps what it knows of the files."""

_FILES = ("meta/*", "data/*", "videos/*", "README.md")
"""What a data set consists of; nothing else is fetched."""


def pull(repo_id: str, root: Path, *, revision: str = "") -> DatasetInfo:
    """Fetch a data set, or what is new of it.

    It can be cut off at any time and run again: files that are complete aren't fetched again.
    Within a run a file goes on where the connection was cut. What comes lies beside the data set
    (``.NAME.pull``) until all of it is there: until then readers have what was there before.

    Args:
        repo_id: ``NAME/DATASET``.
        root: The folder to fetch into.
        revision: Branch, tag or commit; empty: what LeRobot would take.

    Returns:
        What is there now.

    Raises:
        ConfigError: the name can't be a repository's, or ``root`` has episodes that the hub hasn't.
        LinkError: the hub refuses, or can't be reached any more; for a data set of an older format
            it says how to convert it.
        DataError: somebody records into ``root``, or what came is no data set.
    """
    # A link to a folder on another disk: what comes must lie on that disk too.
    root = root.resolve()
    with talking(repo_id):
        wanted = revision or _newest(repo_id)
        commit = str(HfApi().dataset_info(repo_id, revision=wanted).sha)
        files = {*HfApi().list_repo_files(repo_id, repo_type="dataset", revision=commit)}
        with recording(root):
            # An episode that is saved and not in its place yet belongs to what is there.
            Staging(root).recover()
            if (root / "meta" / "info.json").is_file():
                _refuse_loss(root, hub_marks(repo_id, commit))
            coming = root.parent / f".{root.name}.pull"
            _begin(root, coming, files)
            snapshot_download(
                repo_id,
                repo_type="dataset",
                # Of a tag it would be content with what is in the folder if the hub is away.
                revision=commit,
                local_dir=coming,
                allow_patterns=list(_FILES),
            )
            _put_in_place(coming, root, files)
    return open_info(root)


def default_root(repo_id: str) -> Path:
    """Where LeRobot looks for a data set of this name."""
    from lerobot.utils.constants import HF_LEROBOT_HOME

    return Path(HF_LEROBOT_HOME) / repo_id


def _begin(root: Path, coming: Path, files: set[str]) -> None:
    """What is there needn't come; what an earlier pull left goes on.

    Args:
        root: The data set.
        coming: Where it comes together.
        files: What the hub has; nothing else is touched, whatever an earlier pull was of.
    """
    coming.mkdir(parents=True, exist_ok=True)
    for path in sorted(root.rglob("*")):
        target = coming / path.relative_to(root)
        if not _of(path.relative_to(root), files) or not path.is_file() or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.relative_to(root).parts[0] == _NOTES:
            # huggingface_hub writes them in place, and files beside them by replacing them.
            shutil.copy2(path, target)
        else:
            link_or_copy(path, target)
    # It begins a file that was cut off by a kill anew, under another name.
    for path in (coming / _NOTES).rglob("*.incomplete"):
        path.unlink()


def _of(name: Path, files: set[str]) -> bool:
    """Whether a file is one of the hub's, or what is known of them."""
    return name.as_posix() in files or name.parts[0] == _NOTES


def _put_in_place(coming: Path, root: Path, files: set[str]) -> None:
    """In the order in which a recorder does, so that the data set opens between any two files."""
    there = [path.relative_to(coming) for path in coming.rglob("*") if path.is_file()]
    names = [str(name) for name in there if _of(name, files)]
    with writing(root, patience_s=PATIENCE_S):
        for name in sorted(sorted(names), key=turn):
            sync(coming / name)
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (coming / name).replace(root / name)
    shutil.rmtree(coming)


def _newest(repo_id: str) -> str:
    from lerobot.datasets.utils import CompatibilityError, get_safe_version

    try:
        return str(get_safe_version(repo_id, VERSION))
    except CompatibilityError as error:
        raise LinkError(
            f"has only another format than {VERSION}",
            field="repo_id",
            value=repo_id,
            remedy=f"Convert it: {CONVERTER} --repo-id={repo_id}",
        ) from error
    except RuntimeError as error:
        raise LinkError(
            "has no version tag, so it was never pushed to the end",
            field="repo_id",
            value=repo_id,
            remedy="Have it pushed again, or give --revision=main",
        ) from error


def _refuse_loss(root: Path, there: list[str] | None) -> None:
    here = marks(root)
    if there is None or not goes_on(there, here):
        raise ConfigError(
            f"has {len(here)} episodes that aren't all on the hub",
            field="--root",
            value=root,
            remedy="Name another folder: they would be lost",
        )
