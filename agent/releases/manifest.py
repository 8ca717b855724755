"""What a release says of itself. Nothing in it is believed before its signature is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from agent.federation.payload.spec import TrainsConfig
from robots.errors import ConfigError, FederationError

FORMAT = 2
TRAINABLE = "trainable.safetensors"
POLICY = "pretrained_model"
"""Folder of the whole policy among the files of a release."""

BASE = 0
"""The version that stands for what the fleet starts from."""

_MOST_FILES = 10_000
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Entry:
    """A file of a release.

    Args:
        sha256: In hex.
        bytes: Its size.
    """

    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Delta:
    """The way to a release from an earlier one: see :mod:`agent.releases.delta`.

    Args:
        file: Which of the release's files.
        from_version: The earlier release; 0: the base.
        from_digest: Of its trainable tensors.
        encoding: Of what it holds; ``exact``: the difference of the numbers' bits.
        unpacked: Bytes that it unpacks to.
    """

    file: str
    from_version: int
    from_digest: str
    encoding: str
    unpacked: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A release, as its manifest describes it.

    Args:
        version: 1, 2, 3, …; 0: the fleet's base policy.
        digest: Of the whole policy.
        trainable_digest: Of the tensors that the fleet trains, as fp32.
        base_digest: Of what training leaves alone.
        trains: Which tensors are trained.
        files: By path within the release.
        delta: From its parent, if it has one.
        about: All that the manifest says.
    """

    version: int
    digest: str
    trainable_digest: str
    base_digest: str
    trains: TrainsConfig
    files: Mapping[str, Entry]
    delta: Delta | None
    about: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Read a manifest whose signature was checked.

        Raises:
            FederationError: it is no manifest of a format that this agent knows.
        """
        try:
            about = json.loads(data)
            if about["format"] != FORMAT:
                raise FederationError(
                    f"isn't {FORMAT}, which this agent knows",
                    field="manifest format",
                    value=about["format"],
                    remedy="Server and robots must run the same version of Armada",
                )
            manifest = cls(
                version=_count(about["version"]),
                digest=_digest(about["digest"]),
                trainable_digest=_digest(about["trainable_digest"]),
                base_digest=_digest(about["base_digest"]),
                trains=TrainsConfig(**about["trains"]),
                files=_files(about["files"]),
                delta=_delta(about["delta"]),
                about=about,
            )
            if manifest.delta is not None and manifest.delta.file not in manifest.files:
                raise ValueError("its delta isn't among its files")
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise FederationError(f"the manifest can't be read: {error!r}") from error
        return manifest

    @property
    def normaliser(self) -> str:
        """The fleet's statistics as JSON, that it was trained with; empty: each robot's own."""
        return str(self.about.get("normaliser", ""))

    @property
    def trainable(self) -> Entry:
        """The file of the trained tensors, whole."""
        return self.files[TRAINABLE]

    @property
    def policy_files(self) -> dict[str, Entry]:
        """The files of the whole policy, by their paths within its folder."""
        return {
            name.removeprefix(f"{POLICY}/"): entry
            for name, entry in self.files.items()
            if name.startswith(f"{POLICY}/")
        }


def _files(said: Mapping[str, Mapping[str, Any]]) -> dict[str, Entry]:
    if not 0 < len(said) <= _MOST_FILES:
        raise ValueError(f"{len(said)} files")
    files = {}
    for name, entry in said.items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name:
            raise ValueError(f"no path within a release: {name!r}")
        files[name] = Entry(_hex(entry["sha256"]), _count(entry["bytes"]))
    if TRAINABLE not in files:
        raise ValueError(f"no {TRAINABLE}")
    return files


def _delta(said: Mapping[str, Any] | None) -> Delta | None:
    if said is None:
        return None
    return Delta(
        file=str(said["file"]),
        from_version=_count(said["from_version"]),
        from_digest=_digest(said["from_digest"]),
        encoding=str(said["encoding"]),
        unpacked=_count(said["unpacked"]),
    )


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"no count: {value!r}")
    return value


def _digest(value: str) -> str:
    _hex(value.removeprefix("sha256:"))
    return value


def _hex(value: str) -> str:
    if len(value) != 64 or not _HEX.issuperset(value):
        raise ValueError(f"no sha256: {value[:70]!r}")
    return value
