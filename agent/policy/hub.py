"""A policy's folder on this disk, be it the user's own or the hub's cache."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from robots.errors import ModelError

_FILES = ("*.json", "*.safetensors")
"""Nothing executable, and no other framework's weights."""


def policy_folder(path: str) -> Path:
    """The folder of a policy; what the cache lacks of a hub id is downloaded.

    Raises:
        ModelError: neither a folder nor a policy that the hub or its cache has.
    """
    if Path(path).is_dir():
        return Path(path)
    try:
        folder = Path(snapshot_download(path, allow_patterns=list(_FILES)))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise ModelError(
            "is neither a folder nor a policy that the hub or its cache has",
            field="--policy.path",
            value=path,
            remedy="Name a LeRobot pretrained_model folder or a hub id",
        ) from error
    if not (folder / "model.safetensors").is_file():
        # Offline, the cache's folder is returned with whatever it holds.
        raise ModelError(
            "its weights are neither on disk nor to be had from the hub",
            field="--policy.path",
            value=path,
            remedy="Check the connection, or name a folder",
        )
    return folder
