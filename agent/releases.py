"""Takes releases from the fleet's server: fetch, verify, merge, compare, promote or refuse.

``python -m agent.releases --state_dir=… --server=…`` does it once, in a process of its own, niced,
and prints one JSON line an event. Exit status: 0 promoted (or nothing to do), 3 refused, 2 error.

Weights earn their place. A release becomes ``candidate`` only when every digest is right, and
``current`` only when it is no worse on this robot's held-out episodes than what is current now.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.federation.fetch import fetch_file
from agent.fleet import FleetClient
from agent.paths import StateDir
from agent.policy import weights
from agent.policy.merge import merge
from agent.policy.store import ModelStore, StoredModel
from agent.training.home import Home
from agent.training.measure import measure
from robots.errors import ArmadaError, DataError, FederationError, ModelError

TRAINABLE = "trainable.safetensors"
TOLERANCE = 0.02
"""A candidate may be this much worse, relatively: the error of a few held-out episodes is no more
exact than that, since the policy's noise differs from chunk to chunk."""

PROMOTED, ERROR, REFUSED = 0, 2, 3

Emit = Callable[..., None]
log = logging.getLogger(__name__)


class Puller:
    """One robot's way from a release to its ``current``.

    Args:
        client: Of the fleet's server.
        home: The robot's state, episodes and settings.
        emit: Where events go: ``emit(kind, **data)``.
    """

    def __init__(self, client: FleetClient, home: Home, emit: Emit) -> None:
        self._client = client
        self._home = home
        self._emit = emit
        self._store = ModelStore(home.state.models)

    def pull(self, version: int = 0) -> StoredModel:
        """Fetch, verify and merge a release into the robot's own base; it is the candidate then.

        Args:
            version: 0: the latest.

        Raises:
            FederationError: the server doesn't answer, or has no such release.
            ModelError: another base policy, or anything that doesn't verify.
        """
        base = self._store.current
        if base is None:
            raise ModelError("the robot has no policy yet")
        manifest = read_manifest(self._client.manifest(version))
        if manifest["base_digest"] != base.base_digest:
            raise ModelError(
                f"release {manifest['version']} belongs to another base policy "
                f"({manifest['base_digest'][:19]}…, this robot's is {base.base_digest[:19]}…)",
                remedy="Start the robot and the server from the same --policy.path",
            )
        incoming = self._home.state.models / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        fetched = fetch(self._client, manifest, incoming, self._emit)
        tensors = weights.load(fetched)
        digest = weights.digest(tensors)
        if digest != manifest["trainable_digest"]:
            fetched.unlink()
            raise ModelError("isn't the manifest's", field="trainable digest", value=digest)
        folder = incoming / f"merged-{os.getpid()}"
        try:
            merge(base.path, tensors, folder)
            origin = f"release {manifest['version']} of {manifest['digest']}"
            model = self._store.add(folder, origin=origin, parent=base.digest)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        fetched.unlink()
        self._store.candidate(model.digest, reason=origin)
        self._emit("release_pulled", version=manifest["version"], digest=model.digest)
        return model

    def consider(self, candidate: StoredModel) -> bool:
        """Compare the candidate with what is current, and promote it unless it is worse.

        Both are measured on the same held-out episodes with the same noise. A robot without any has
        nothing to compare on: the release is taken, and the event says so.

        Raises:
            ModelError: the candidate doesn't load or doesn't act in finite numbers.
        """
        current = self._store.current
        if current is not None and current.digest == candidate.digest:
            self._emit("release_current", digest=candidate.digest)
            return True
        numbers: dict[str, Any] = {"digest": candidate.digest}
        try:
            numbers["error_candidate"] = self._error(candidate)
            if current is not None:
                numbers["error_current"] = self._error(current)
        except DataError as error:
            numbers["not_compared"] = str(error)
        worse = numbers.get("error_candidate", 0.0) > numbers.get("error_current", float("inf")) * (
            1 + TOLERANCE
        )
        if worse:
            self._emit(
                "release_refused", reason="worse on this robot's held-out episodes", **numbers
            )
            return False
        self._store.promote(candidate.digest)
        self._emit("release_promoted", **numbers)
        return True

    def _error(self, model: StoredModel) -> float:
        home = self._home
        error, _ = measure(
            policy_path=model.path,
            processors=home.state.processors,
            dataset_root=home.dataset_root,
            rename_map=home.rename_map,
            device=home.device,
            threads=home.threads,
        )
        return error


def read_manifest(data: bytes) -> dict[str, Any]:
    """Raises: FederationError if it is no manifest of a format that this code knows."""
    try:
        manifest: dict[str, Any] = json.loads(data)
        if manifest["format"] != 1:
            raise FederationError("is newer than this agent", field="manifest format")
        manifest["version"], manifest["digest"], manifest["trainable_digest"]
        manifest["base_digest"], manifest["files"][TRAINABLE]["sha256"]
        manifest["files"][TRAINABLE]["bytes"]
    except (ValueError, KeyError, TypeError) as error:
        raise FederationError(f"the manifest can't be read: {error!r}") from error
    return manifest


def fetch(client: FleetClient, manifest: dict[str, Any], folder: Path, emit: Emit) -> Path:
    """Fetch the tensors of a release, from where an earlier attempt was cut.

    Raises:
        FederationError: the connection was cut; what came is kept.
        ModelError: the sha256 is wrong.
    """
    expected = manifest["files"][TRAINABLE]
    version = manifest["version"]
    fetched = fetch_file(
        client,
        version,
        TRAINABLE,
        size=int(expected["bytes"]),
        digest=str(expected["sha256"]),
        folder=folder,
    )
    emit(
        "release_fetched",
        version=version,
        bytes=fetched.bytes,
        resumed_at=fetched.resumed_at,
        seconds=round(fetched.seconds, 3),
    )
    return fetched.path


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent.releases")
    parser.add_argument("--state_dir", required=True, type=Path)
    parser.add_argument("--server", required=True, help="host:port of the fleet's gRPC service")
    parser.add_argument("--version", type=int, default=0, help="0: the latest")
    parser.add_argument("--dataset-root", "--dataset_root", type=Path, default=None)
    parser.add_argument("--root-certificates", "--root_certificates", default="")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Pull and consider one release; the exit status."""
    args = _parse(argv)
    os.nice(10)
    state = StateDir(args.state_dir)
    home = Home.of(
        {
            "name": args.state_dir.name,
            "state-dir": str(args.state_dir),
            "dataset-root": str(args.dataset_root or state.default_dataset),
        }
    )

    def emit(kind: str, **data: Any) -> None:
        line = json.dumps({"event": kind, "time": time.time(), **data})
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    try:
        with FleetClient(args.server, args.root_certificates) as client:
            puller = Puller(client, home, emit)
            taken = puller.consider(puller.pull(args.version))
    except ArmadaError as error:
        emit("release_failed", reason=str(error))
        return ERROR
    return PROMOTED if taken else REFUSED


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sys.exit(main(sys.argv[1:]))
