"""A data set onto the hub, as LeRobot puts it there: files, card, and its readers' tag.

It can be cut off at any time and run again: what has arrived isn't sent twice, and who reads by the
tag, as LeRobot does, sees the old version until the new one is complete.
"""

from __future__ import annotations

import contextlib

from huggingface_hub import DatasetInfo, HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from agent.data.hub.leaving import Leaving
from agent.data.hub.marks import goes_on, hub_marks, marks
from agent.data.hub.talk import VERSION_TAG, talking
from robots.errors import ConfigError

_REPLACED = ("data/*", "meta/*", "videos/*")
"""Of these the hub keeps what is sent and nothing else; other files there are left alone."""


def push(what: Leaving, repo_id: str, *, public: bool = False, replace: bool = False) -> str:
    """Send a frozen data set.

    Args:
        what: It.
        repo_id: Where to: ``NAME/DATASET``; made if there is none.
        public: Whether everybody may see it.
        replace: Take what is there and not here out of the newest version, too; it stays in the
            repository's history.

    Returns:
        Its address.

    Raises:
        ConfigError: the repository isn't as ``public`` says, or has episodes that aren't here and
            ``replace`` isn't set. Nothing was sent.
        LinkError: the hub refuses, or can't be reached any more.
    """
    api = HfApi()
    with talking(repo_id):
        there = _look(api, repo_id)
        if there is not None:
            _refuse_surprise(repo_id, private=bool(there.private), public=public)
            if not replace:
                _refuse_loss(repo_id, hub_marks(repo_id, str(there.sha)), marks(what.folder))
        api.create_repo(repo_id, repo_type="dataset", private=not public, exist_ok=True)
        if not api.file_exists(repo_id, "README.md", repo_type="dataset"):
            _write_card(what, repo_id)
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=what.folder,
            delete_patterns=list(_REPLACED),
            commit_message=f"{len(what.info.episodes)} episodes",
        )
        with contextlib.suppress(RevisionNotFoundError):
            api.delete_tag(repo_id, tag=VERSION_TAG, repo_type="dataset")
        api.create_tag(repo_id, tag=VERSION_TAG, repo_type="dataset")
    return f"{api.endpoint}/datasets/{repo_id}"


def _look(api: HfApi, repo_id: str) -> DatasetInfo | None:
    """What the hub says of the repository; ``None``: there is none."""
    try:
        return api.dataset_info(repo_id)
    except RepositoryNotFoundError:
        return None


def _refuse_surprise(repo_id: str, *, private: bool, public: bool) -> None:
    if not private and not public:
        raise ConfigError(
            "everybody can see this repository",
            field="repo_id",
            value=repo_id,
            remedy="Name another, make it private on the hub, or say --public=true",
        )
    if private and public:
        raise ConfigError(
            "this repository is private",
            field="repo_id",
            value=repo_id,
            remedy="Leave --public away, or make it public on the hub",
        )


def _refuse_loss(repo_id: str, there: list[str] | None, here: list[str]) -> None:
    if there is None or not goes_on(here, there):
        raise ConfigError(
            f"has {'other' if there is None else len(there)} episodes that aren't all here",
            field="repo_id",
            value=repo_id,
            remedy="Name another repository, or say --replace=true: its newest version then has "
            "what is here, the older ones stay in its history",
        )


def _write_card(what: Leaving, repo_id: str) -> None:
    """LeRobot's card, without a licence: that is the owner's to give."""
    card = what.folder / "README.md"
    if card.is_file():
        return
    # Imported here: it takes seconds, and most pushes need none.
    from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
    from lerobot.datasets.utils import create_lerobot_dataset_card

    info = LeRobotDatasetMetadata(repo_id, root=what.folder).info
    create_lerobot_dataset_card(dataset_info=info, repo_id=repo_id).save(card)
