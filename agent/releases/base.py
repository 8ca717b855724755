"""What the fleet starts from, for a robot that has nothing or another policy.

Some 900 MB for SmolVLA as it is published, fetched once: files that came whole stay whole, and one
that was cut goes on where it ended.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.federation.payload.trained import base_digest
from agent.policy import weights
from agent.policy.atomic import sha256
from agent.policy.store import WEIGHTS, ModelStore, StoredModel
from agent.releases.manifest import POLICY, Manifest
from agent.releases.transfer import Emit, Transfer
from robots.errors import ModelError


def fetch_base(
    transfer: Transfer, manifest: Manifest, store: ModelStore, incoming: Path, emit: Emit
) -> StoredModel:
    """The fleet's base policy in the robot's store, where merges find it as ``base``; it becomes
    current on a robot that has no model yet.

    Args:
        transfer: Fetches.
        manifest: Of the base, believed.
        store: The robot's models.
        incoming: A folder beside them, for what is not whole yet.
        emit: Where events go.

    Raises:
        UnreachableError: the connection was cut; what came is kept.
        FederationError: the server hasn't got what it announced.
        ModelError: what came isn't what the manifest says.
    """
    model = next((m for m in store.list() if m.digest == manifest.digest), None)
    if model is None:
        model = _fetch(transfer, manifest, store, incoming)
        emit("release_base_fetched", digest=model.digest)
    store.base_on(model)
    if store.current is None:
        store.promote(model, reason="the fleet's base policy")
        emit("release_promoted", digest=model.digest, reason="the robot had no policy yet")
    return model


def _fetch(
    transfer: Transfer, manifest: Manifest, store: ModelStore, incoming: Path
) -> StoredModel:
    folder = incoming / f"base-{manifest.digest.removeprefix('sha256:')[:16]}"
    for name, entry in manifest.policy_files.items():
        target = folder / name
        if not (target.is_file() and sha256(target) == entry.sha256):
            target.parent.mkdir(parents=True, exist_ok=True)
            transfer.fetch(manifest, f"{POLICY}/{name}").replace(target)
    if not (folder / WEIGHTS).is_file():
        raise ModelError("holds no policy", field="the fleet's base", value=WEIGHTS)
    found = weights.file_digest(folder / WEIGHTS), base_digest(folder, manifest.trains)
    if found != (manifest.digest, manifest.base_digest):
        shutil.rmtree(folder)
        raise ModelError(
            "aren't those of its manifest", field="digests of the fleet's base", value=found[0][:19]
        )
    model = store.add(folder, origin={"release": 0, "digest": manifest.digest})
    shutil.rmtree(folder)
    return model
