"""The registry of releases: complete or absent, and never changed. A folder is a release from the
moment that its manifest is in it; the manifest is written last.

::

    releases/
    ├── 0001/
    │   ├── manifest.json            what it is, of whom, and the sha256 of every other file
    │   ├── trainable.safetensors    what a robot fetches: the averaged tensors, fp32
    │   └── pretrained_model/        base policy and averaged tensors: a plain LeRobot folder
    └── latest -> 0001

The base's processors are in ``pretrained_model`` so that ``lerobot-rollout`` can load it; a robot
of the fleet uses its own.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from agent.policy import weights
from agent.policy.atomic import point, sha256, sync_tree, write_text
from agent.policy.merge import merge
from robots.errors import FederationError
from server.base import Base

MANIFEST = "manifest.json"
TRAINABLE = "trainable.safetensors"
_VERSION = re.compile(r"\d{4,}")


class Releases:
    """The releases under one folder.

    Args:
        root: ``…/releases`` in the server's state.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def versions(self) -> list[int]:
        """Oldest first."""
        if not self._root.is_dir():
            return []
        folders = (p.parent for p in self._root.glob(f"*/{MANIFEST}"))
        return sorted({int(p.name) for p in folders if _VERSION.fullmatch(p.name)})

    @property
    def latest(self) -> int | None:
        versions = self.versions()
        return versions[-1] if versions else None

    def folder(self, version: int) -> Path:
        """The folder of a release; version 0 is the latest.

        Raises:
            FederationError: there is no such release.
        """
        number = version or self.latest
        folder = self._root / f"{number or 0:04d}"
        if not (folder / MANIFEST).is_file():
            raise FederationError(
                "there is no such release" if version else "there is no release yet",
                field="version",
                value=version or None,
            )
        return folder

    def manifest_bytes(self, version: int) -> bytes:
        """The manifest as it was written: what a signature covers."""
        return (self.folder(version) / MANIFEST).read_bytes()

    def manifest(self, version: int) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads(self.manifest_bytes(version))
        return manifest

    def file(self, version: int, name: str) -> Path:
        """A file that the manifest of ``version`` names; no other path can be reached.

        Raises:
            FederationError: the manifest names no such file.
        """
        if name not in self.manifest(version)["files"]:
            raise FederationError(
                "the release has no such file", field="file", value=name, remedy=f"Ask {TRAINABLE}"
            )
        return self.folder(version) / name

    def trainable(self, version: int) -> dict[str, Tensor]:
        return weights.load(self.folder(version) / TRAINABLE)

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
    ) -> dict[str, Any]:
        """Write the next release and return its manifest.

        Args:
            tensors: Averaged trainable tensors, fp32.
            base: The policy that they belong to.
            run: Flower's run id.
            round_id: The operator's round that made it.
            server_round: Which round of the run, from 1.
            participants: What each robot reported.
            metrics: Averages over them.

        Raises:
            ModelError: the tensors don't fit the base.
        """
        parent = self.latest
        version = (parent or 0) + 1
        folder = self._root / f"{version:04d}"
        # What a server left that was killed while it wrote this version.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        digest = merge(base.pretrained_model, tensors, folder / "pretrained_model")
        weights.save(folder / TRAINABLE, tensors)
        sync_tree(folder)
        manifest = {
            "format": 1,
            "version": version,
            "parent": parent,
            "run": run,
            "round": round_id,
            "server_round": server_round,
            "participants": participants,
            "samples": sum(int(p["samples"]) for p in participants),
            "metrics": dict(metrics),
            "base_digest": base.base_digest,
            "trainable_digest": weights.digest(tensors),
            "digest": digest,
            "files": _describe(folder),
            "time": time.time(),
        }
        write_text(folder / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False))
        point(self._root / "latest", folder.name)
        return manifest


def _describe(folder: Path) -> dict[str, dict[str, Any]]:
    """sha256 and size of every file, by path within the release."""
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
