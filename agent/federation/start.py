"""What a job starts from: found among the robot's models, or fetched from the fleet's server.

A robot has most of it already: the base policy that its owner gave it or its fleet released, and
the release that it runs. What it lacks is fetched into the job's folder (weights) or beside the
jobs (a base policy), resumably, and believed only by its digest.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from torch import Tensor

from agent.federation.base import stored
from agent.federation.fetch import fetch_file
from agent.federation.jobs.job import Job
from agent.federation.wire import Order
from agent.fleet import FleetClient
from agent.policy import atomic, weights
from agent.policy.parts import trainable_names
from agent.policy.store import WEIGHTS
from agent.training.home import Home
from robots.errors import FederationError, ModelError

TRAINABLE = "trainable.safetensors"
_POLICY = "pretrained_model"
"""Folder of a base policy among the files of its manifest."""

_SOURCE = "source.json"


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a training begins.

    Args:
        policy: A policy folder with the fleet's frozen tensors.
        tensors: The trainable tensors, fp32.
    """

    policy: Path
    tensors: dict[str, Tensor]


def find_start(home: Home, job: Job) -> Start:
    """Find it, or fetch what is missing.

    Raises:
        FederationError: the server doesn't answer, or hasn't got it; what came is kept.
        ModelError: it isn't what was ordered.
    """
    order = job.order
    model = stored(home, order)
    policy = _fetched_base(home, order) if model is None else model.path
    names = trainable_names(policy)
    if weights.file_digest_parts(policy / WEIGHTS, names)[0] == order.start_digest:
        return Start(policy=policy, tensors=_trainable(policy / WEIGHTS, names))
    if not job.start.is_file():
        _fetch_weights(home, job, order)
    return Start(policy=policy, tensors=weights.load(job.start))


def _trainable(path: Path, names: frozenset[str]) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in weights.load(path, names).items()}


# Fetching -----------------------------------------------------------------------------------


def _client(home: Home, what: str) -> FleetClient:
    if not home.server:
        raise FederationError(
            f"this robot lacks {what} and knows no server to fetch it from",
            remedy="Give --federation.server",
        )
    return FleetClient(home.server, home.root_certificates)


def _fetch_weights(home: Home, job: Job, order: Order) -> None:
    with _client(home, "the weights to start from") as client:
        version = order.start_version
        manifest = client.manifest(version) if version else client.base()
        entry = _files(manifest).get(TRAINABLE)
        if entry is None:
            raise ModelError(f"has no {TRAINABLE}", field="release", value=version)
        size, digest = entry
        fetched = fetch_file(
            client, version, TRAINABLE, size=size, digest=digest, folder=job.folder
        )
    found = weights.file_digest(fetched.path)
    if found != order.start_digest:
        fetched.path.unlink()
        raise ModelError(
            f"release {version} isn't what was ordered ({order.start_digest[:19]}…)",
            field="start digest",
            value=found[:19],
        )
    fetched.path.replace(job.start)


def _fetched_base(home: Home, order: Order) -> Path:
    """The fleet's base policy beside the jobs, where an earlier job may have left it."""
    folder = home.state.bases / order.base_digest.removeprefix("sha256:")[:16]
    if not (folder / _SOURCE).is_file():
        _fetch_base(home, order, folder)
    return folder


def _fetch_base(home: Home, order: Order, folder: Path) -> None:
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    with _client(home, "the fleet's base policy") as client:
        manifest = client.base()
        for name, (size, digest) in _files(manifest).items():
            path = PurePosixPath(name)
            if path.parts[0] != _POLICY or len(path.parts) < 2:
                continue
            target = partial.joinpath(*path.parts[1:])
            if target.is_file() and atomic.sha256(target) == digest:
                continue
            fetched = fetch_file(client, 0, name, size=size, digest=digest, folder=partial)
            target.parent.mkdir(parents=True, exist_ok=True)
            fetched.path.replace(target)
    if not (partial / WEIGHTS).is_file():
        raise ModelError("holds no policy", field="the fleet's base", value=WEIGHTS)
    _, found = weights.file_digest_parts(partial / WEIGHTS, trainable_names(partial))
    if found != order.base_digest:
        shutil.rmtree(partial)
        raise ModelError(
            f"the server's base isn't what was ordered ({order.base_digest[:19]}…)",
            field="base digest",
            value=found[:19],
        )
    atomic.sync_tree(partial)
    atomic.write_text(partial / _SOURCE, manifest.decode())
    partial.rename(folder)


def _files(manifest: bytes) -> dict[str, tuple[int, str]]:
    """Size and sha256 of a manifest's files, by paths that stay within its folder.

    Raises:
        FederationError: it can't be read, or names another place.
    """
    try:
        said: Mapping[str, Mapping[str, Any]] = json.loads(manifest)["files"]
        files = {
            str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in said.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FederationError(f"the manifest can't be read: {error!r}") from error
    for name, (size, digest) in files.items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or size < 0 or not _is_hex(digest):
            raise FederationError("the manifest names no such file", field="file", value=name)
    return files


def _is_hex(digest: str) -> bool:
    return len(digest) == 64 and all(letter in "0123456789abcdef" for letter in digest)
