"""The registry of releases: complete or absent, and never changed. A folder is a release from the
moment that its manifest is in it; the manifest is written last.

::

    releases/
    ├── signing.key                  Ed25519, for the server's user alone
    ├── 0000/                        what the fleet starts from: links to the base policy's files
    ├── 0001/
    │   ├── manifest.json            what it is, of whom, and the sha256 of every other file
    │   ├── manifest.sig             who says so
    │   ├── trainable.safetensors    the averaged tensors, fp32
    │   ├── delta.safetensors.zst    what leads there from the release before, if that is less
    │   ├── residual.safetensors     what rounding lost: for the next release, served to nobody
    │   └── pretrained_model/        base policy and averaged tensors: a plain LeRobot folder
    └── latest -> 0001

The base's processors are in ``pretrained_model`` so that ``lerobot-rollout`` can load it; a robot
of the fleet uses its own.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from agent.federation.payload import trained
from agent.policy import weights
from agent.policy.atomic import point, replacing, sha256, sync_tree, write_text
from agent.policy.merge import merge
from agent.releases import delta
from agent.releases.manifest import BASE, FORMAT, POLICY, TRAINABLE
from robots.errors import FederationError
from server.base import Base
from server.registry.define import define
from server.registry.signer import Signer, ensure_signer

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
DELTA = "delta.safetensors.zst"
_KEY = "signing.key"
_RESIDUAL = "residual.safetensors"
_VERSION = re.compile(r"\d{4,}")
_WORTH = 0.9
"""A delta that is hardly smaller than the whole isn't kept."""


class Releases:
    """The releases under one folder.

    Args:
        root: ``…/releases`` in the server's state.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def signer(self) -> Signer:
        """Whose releases these are; the key is made when it is first asked for.

        Raises:
            ConfigError: it can't be used.
        """
        return ensure_signer(self._root / _KEY)

    def versions(self) -> list[int]:
        """Oldest first, without the base."""
        if not self._root.is_dir():
            return []
        folders = (p.parent for p in self._root.glob(f"*/{MANIFEST}"))
        numbers = {int(p.name) for p in folders if _VERSION.fullmatch(p.name)}
        return sorted(numbers - {BASE})

    @property
    def latest(self) -> int | None:
        versions = self.versions()
        return versions[-1] if versions else None

    def folder(self, version: int) -> Path:
        """The folder of a release; version 0 is the base.

        Raises:
            FederationError: there is no such release.
        """
        folder = self._root / f"{version:04d}"
        if not (folder / MANIFEST).is_file():
            raise FederationError("there is no such release", field="version", value=version)
        return folder

    def manifest_bytes(self, version: int) -> bytes:
        """The manifest as it was written: what the signature covers."""
        return (self.folder(version) / MANIFEST).read_bytes()

    def signature(self, version: int) -> bytes:
        """What lies beside the manifest."""
        return (self.folder(version) / SIGNATURE).read_bytes()

    def manifest(self, version: int) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads(self.manifest_bytes(version))
        return manifest

    def file(self, version: int, name: str) -> Path:
        """A file that the manifest of ``version`` names; no other path can be reached.

        Raises:
            FederationError: the manifest names no such file, or it was pruned.
        """
        if name not in self.manifest(version)["files"]:
            raise FederationError(
                "the release has no such file", field="file", value=name, remedy=f"Ask {TRAINABLE}"
            )
        if not self.keeps(version, name):
            raise FederationError(
                f"release {version} is no longer kept whole",
                field="file",
                value=name,
                remedy="Pull a newer one: armada models list",
            )
        return self.folder(version) / name

    def keeps(self, version: int, name: str) -> bool:
        """Whether a file of a release has not been pruned."""
        return (self.folder(version) / name).is_file()

    def trainable(self, version: int) -> dict[str, Tensor]:
        """The trained tensors of a release, fp32; version 0: of the base."""
        return weights.load(self.folder(version) / TRAINABLE)

    def add_base(self, base: Base) -> dict[str, Any]:
        """Offer the base policy, as version 0; once is enough."""
        folder = self._root / f"{BASE:04d}"
        if (folder / MANIFEST).is_file():
            return self.manifest(BASE)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / POLICY).symlink_to(base.pretrained_model.resolve())
        (folder / TRAINABLE).symlink_to((base.folder / TRAINABLE).resolve())
        return self._publish(
            folder,
            {
                "version": BASE,
                "parent": None,
                "encoding": "fp32",
                "digest": base.digest,
                "trainable_digest": base.trainable_digest,
                **_origin(base),
                "delta": None,
            },
        )

    def add(
        self,
        tensors: Mapping[str, Tensor],
        base: Base,
        *,
        run: int,
        round_id: int,
        server_round: int,
        participants: list[dict[str, Any]],
        metrics: Mapping[str, float],
        encoding: str = "fp32",
        normaliser: str = "",
    ) -> dict[str, Any]:
        """Write the next release and return its manifest.

        Args:
            tensors: What the round made of the latest release's, or the base's: fp32.
            base: The policy that they belong to.
            run: Flower's run id.
            round_id: The operator's round that made it.
            server_round: Which round of the run, from 1.
            participants: What each robot reported.
            metrics: Averages over them.
            encoding: How the updates travelled: the release is rounded likewise.
            normaliser: The fleet's statistics as JSON, that the round was trained with; empty: each
                robot's own.

        Raises:
            ModelError: the tensors don't fit the base.
        """
        self.add_base(base)
        parent = self.latest or BASE
        version = parent + 1
        folder = self._root / f"{version:04d}"
        # What a server left that was killed while it wrote this version.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        start = self.trainable(parent)
        released, wire, lost = define(start, tensors, encoding, self._residual(parent))
        merged = trained.policy_tensors(base.pretrained_model, released, base.trains)
        digest = merge(base.pretrained_model, merged, folder / POLICY)
        weights.save(folder / TRAINABLE, released)
        way = self._delta(folder, parent, start, released, wire, encoding)
        manifest = self._publish(
            folder,
            {
                "version": version,
                "parent": parent,
                "run": run,
                "round": round_id,
                "server_round": server_round,
                "participants": participants,
                "samples": sum(int(p["samples"]) for p in participants),
                "metrics": dict(metrics),
                "encoding": encoding,
                "normaliser": normaliser,
                "digest": digest,
                "trainable_digest": weights.digest(released),
                **_origin(base),
                "delta": way,
            },
            lost,
        )
        point(self._root / "latest", folder.name)
        (self._root / f"{parent:04d}" / _RESIDUAL).unlink(missing_ok=True)
        return manifest

    def prune(self, keep: int) -> None:
        """Delete the weights of all but the newest releases, never the base's.

        What they were stays known, manifest and signature, and as much of the way from one to the
        next as a robot that was away would rather follow than fetch the oldest whole one.

        Args:
            keep: How many releases are kept whole.
        """
        versions = self.versions()
        old, kept = versions[:-keep], versions[-keep:]
        if not old:
            return
        cost, whole = self._costs(kept[0])
        for version in reversed(old):
            folder = self.folder(version)
            (folder / TRAINABLE).unlink(missing_ok=True)
            shutil.rmtree(folder / POLICY, ignore_errors=True)
            cost += self._costs(version)[0]
            if cost >= whole:
                (folder / DELTA).unlink(missing_ok=True)

    def _costs(self, version: int) -> tuple[float, int]:
        """Bytes of a release as a change, infinitely many if there is none, and whole."""
        manifest = self.manifest(version)
        files, way = manifest["files"], manifest["delta"]
        change = files[way["file"]]["bytes"] if way else math.inf
        return change, files[TRAINABLE]["bytes"]

    def _residual(self, version: int) -> dict[str, Tensor]:
        path = self._root / f"{version:04d}" / _RESIDUAL
        return weights.load(path) if path.is_file() else {}

    def _delta(
        self,
        folder: Path,
        parent: int,
        start: Mapping[str, Tensor],
        released: Mapping[str, Tensor],
        wire: Mapping[str, Tensor],
        encoding: str,
    ) -> dict[str, Any] | None:
        """Write the way from the parent, if it is shorter than the whole."""
        unpacked = delta.pack(wire or delta.difference(start, released), folder / DELTA)
        if (folder / DELTA).stat().st_size > _WORTH * (folder / TRAINABLE).stat().st_size:
            (folder / DELTA).unlink()
            return None
        return {
            "file": DELTA,
            "from_version": parent,
            "from_digest": weights.digest(start),
            "encoding": encoding if wire else delta.EXACT,
            "unpacked": unpacked,
        }

    def _publish(
        self, folder: Path, about: dict[str, Any], residual: Mapping[str, Tensor] | None = None
    ) -> dict[str, Any]:
        """Make a folder a release: what it holds is described, signed, and then there."""
        manifest = {"format": FORMAT, **about, "files": _describe(folder), "time": time.time()}
        if residual:
            weights.save(folder / _RESIDUAL, residual)
        sync_tree(folder)
        text = json.dumps(manifest, indent=1, allow_nan=False)
        with replacing(folder / SIGNATURE) as temporary:
            temporary.write_bytes(self.signer.sign(text.encode()).line())
        write_text(folder / MANIFEST, text)
        return manifest


def _origin(base: Base) -> dict[str, Any]:
    return {"base_digest": base.base_digest, "trains": dataclasses.asdict(base.trains)}


def _describe(folder: Path) -> dict[str, dict[str, Any]]:
    """sha256 and size of every file, by path within the release."""
    paths = (Path(at, name) for at, _, names in folder.walk(follow_symlinks=True) for name in names)
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in sorted(paths)
    }
