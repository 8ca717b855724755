"""One robot gets one release: verify, fetch, merge; it is the candidate then."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from agent.federation.payload.trained import policy_tensors
from agent.fleet import FleetClient
from agent.policy import weights
from agent.policy.merge import merge
from agent.policy.store import ModelStore, StoredModel
from agent.releases.base import fetch_base
from agent.releases.ledger import ReleaseLedger
from agent.releases.manifest import TRAINABLE, Manifest
from agent.releases.obtain import held, obtain
from agent.releases.probation import was_rolled_back
from agent.releases.signed import LATEST, SignedManifests
from agent.releases.transfer import WAITS_S, Emit, Transfer
from agent.releases.trust import TrustedKeys
from agent.training.home import Home
from robots.errors import ModelError


class GivenUpError(ModelError):
    """The robot took this release before and rolled it back."""


class Puller:
    """One robot's way from a release to its candidate.

    Args:
        client: Of the fleet's server.
        home: The robot's state, episodes and settings.
        emit: Where events go: ``emit(kind, **data)``.
        keys: Whose releases it takes; none: of whom it took the first.
        waits_s: Between attempts to fetch that brought nothing.
    """

    def __init__(
        self,
        client: FleetClient,
        home: Home,
        emit: Emit,
        *,
        keys: tuple[str, ...] = (),
        waits_s: Sequence[float] = WAITS_S,
    ) -> None:
        self._home = home
        self._emit = emit
        self._store = ModelStore(home.state.models)
        self._incoming = home.state.models / "incoming"
        self._ledger = ReleaseLedger(home.state.release_ledger)
        trusted = TrustedKeys(home.state.release_keys, keys)
        self._manifests = SignedManifests(client, trusted, emit)
        self._transfer = Transfer(client, self._incoming, emit, waits_s)

    def pull(self, version: int = LATEST, *, announced: bool = False) -> StoredModel:
        """Fetch, verify and merge a release into the robot's own base; it is the candidate then.

        Args:
            version: ``LATEST``, or which.
            announced: The number is a notice's, not a person's: an older one isn't taken, nor one
                that was rolled back.

        Raises:
            PinnedError: the robot stays on what it has.
            GivenUpError: it has tried this one.
            UnreachableError: the server can't be reached, or the connection was cut.
            FederationError: it has no such release.
            ModelError: another base policy, or anything that doesn't verify.
        """
        self._ledger.check_pin()
        base = self._base()
        with self._alone():
            manifest, key = self._manifests.release(version)
            self._ledger.meet(manifest, key, asked=version != LATEST and not announced)
            _check_base(manifest, base)
            if announced and was_rolled_back(self._store, manifest.digest):
                raise GivenUpError(
                    "was taken and rolled back before",
                    field="release",
                    value=manifest.version,
                    remedy=f"To try it again: armada models pull --version={manifest.version}",
                )
            there = next((m for m in self._store.list() if m.digest == manifest.digest), None)
            model = there or self._fetch(manifest, base)
        self._store.candidate(model.digest, reason=f"release {manifest.version}")
        self._emit("release_pulled", version=manifest.version, digest=model.digest)
        return model

    def pull_base(self) -> StoredModel:
        """Fetch what the fleet starts from; it is the base of every merge from then on.

        Raises:
            UnreachableError: the server can't be reached, or the connection was cut.
            FederationError, ModelError: as above.
        """
        with self._alone():
            manifest = self._manifests.base()
            return fetch_base(self._transfer, manifest, self._store, self._incoming, self._emit)

    def export(self, version: int, out: Path) -> Manifest:
        """Write a release as a plain LeRobot folder; the robot's models stay as they are.

        Args:
            version: ``LATEST``, or which.
            out: The folder to make.

        Raises:
            UnreachableError, FederationError, ModelError: as above.
        """
        base = self._base()
        with self._alone():
            manifest, _ = self._manifests.release(version)
            _check_base(manifest, base)
            partial = out.with_name(f".{out.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            try:
                self._build(manifest, base, partial, home=out)
                partial.rename(out)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return manifest

    def _base(self) -> StoredModel:
        base = self._store.base or self._store.current
        if base is None:
            raise ModelError(
                "the robot has no policy yet",
                remedy="Give armada run a --policy.path, or: armada models pull --base=true",
            )
        return base

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two that fetch the same file would write into one another's."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        with (self._incoming / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _fetch(self, manifest: Manifest, base: StoredModel) -> StoredModel:
        current = self._store.current
        folder = self._incoming / f"merged-{os.getpid()}"
        try:
            tensors = self._build(manifest, base, folder)
            if manifest.trains.kind != "full":
                # Adapters can't be read back from what they were worked into; the next delta wants
                # them.
                weights.save(folder / TRAINABLE, tensors)
            return self._store.add(
                folder,
                origin={
                    "release": manifest.version,
                    "digest": manifest.digest,
                    "trainable_digest": manifest.trainable_digest,
                    "round": manifest.about.get("round"),
                    "normaliser": manifest.normaliser,
                },
                parent=None if current is None else current.digest,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _build(
        self, manifest: Manifest, base: StoredModel, folder: Path, home: Path | None = None
    ) -> dict[str, Tensor]:
        """Fetch what a release trained and work it into the base; the trained tensors."""
        tensors = obtain(
            self._transfer,
            manifest,
            lambda version: self._manifests.release(version)[0],
            held(self._store),
            self._emit,
        )
        merge(base.path, policy_tensors(base.path, tensors, manifest.trains), folder, home=home)
        return tensors


def _check_base(manifest: Manifest, base: StoredModel) -> None:
    """Raises: ModelError if the release belongs to another base policy."""
    own = manifest.trains.base_digest(base.trainable_digest, base.base_digest)
    if manifest.base_digest != own:
        raise ModelError(
            f"release {manifest.version} belongs to another base policy "
            f"({manifest.base_digest[:19]}…, this robot's is {own[:19]}…)",
            remedy="Start the robot and the server from the same --policy.path, or take the "
            "fleet's: armada models pull --base=true",
        )
