"""A hub id is found where it was fetched to, by whom ever."""

from __future__ import annotations

from pathlib import Path

import lerobot.utils.constants
import pytest
from huggingface_hub import snapshot_download

from agent.commands.data import COMMAND
from agent.data.open import open_dataset
from robots.errors import DataError
from robots.replay.locate import locate
from tests.agent.data.hub.fake import Hub

REPO = "me/reach"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """HF_LEROBOT_HOME of a process that starts now."""
    home = tmp_path / "lerobot"
    monkeypatch.setattr(lerobot.utils.constants, "HF_LEROBOT_HOME", home)
    monkeypatch.setattr(lerobot.utils.constants, "HF_LEROBOT_HUB_CACHE", home / "hub")


def test_a_data_set_is_found_where_pull_or_lerobot_put_it(
    root: Path, hub: Hub, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"`armada data pull me/reach` gets one"):
        locate(REPO)
    COMMAND.main(["push", str(root), f"--repo_id={REPO}", "--unclean=true", "--yes=true"])

    # As LeRobotDataset("me/reach") fetches it.
    cache = tmp_path / "lerobot" / "hub"
    fetched = snapshot_download(REPO, repo_type="dataset", revision="v3.0", cache_dir=cache)
    assert locate(REPO) == Path(fetched)
    assert len(open_dataset(REPO)) == 72

    assert COMMAND.main(["pull", REPO]) == 0
    assert locate(REPO) == tmp_path / "lerobot" / "me" / "reach"
    assert len(open_dataset(REPO)) == 72


def test_a_path_is_no_hub_id(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`armada data pull NAME/DATASET` gets one"):
        locate(str(tmp_path / "none"))
