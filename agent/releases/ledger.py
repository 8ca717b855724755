"""What a robot remembers of its fleet's releases: the newest, and the one that it is to stay on.

An old release is signed as well as a new one. Who can stand between a robot and its server, or
publish on its broker, could offer it again and take back what the fleet has learned since; hence a
robot never goes back by itself. Its owner can: by the number of the release.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.policy.atomic import alone, write_text
from agent.releases.manifest import Manifest
from robots.errors import ModelError


class PinnedError(ModelError):
    """The robot is to stay on the model that it has."""


@dataclass(frozen=True)
class Pin:
    """The model that a robot stays on.

    Args:
        digest: Of the model.
        version: The release that it is; 0: none of the fleet's.
        reason: Why, as the owner said.
    """

    digest: str
    version: int
    reason: str


class ReleaseLedger:
    """The memory of one robot; every change is on the disk before a method returns.

    Args:
        path: A JSON file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def pin(self) -> Pin | None:
        """What the robot is to stay on."""
        said = self._read().get("pin")
        return Pin(**said) if said else None

    def set_pin(self, pin: Pin | None) -> None:
        """Stay on a model; None: take releases again."""
        with self._alone():
            self._write(self._read() | {"pin": pin and vars(pin)})

    def check_pin(self) -> None:
        """Raises: PinnedError if the robot is to stay on what it has."""
        pin = self.pin
        if pin is not None:
            raise PinnedError(
                f"this robot stays on it ({pin.reason})",
                field="pinned model",
                value=pin.digest.removeprefix("sha256:")[:12],
                remedy="armada models unpin",
            )

    @contextlib.contextmanager
    def unpinned(self) -> Iterator[None]:
        """Nobody pins the robot as long as this lasts: who wants to waits.

        Raises:
            PinnedError: somebody has.
        """
        with self._alone():
            self.check_pin()
            yield

    def newest(self, key: str) -> int:
        """Version of the newest release of a key that was met; 0: none."""
        return int(self._seen(key).get("version", 0))

    def meet(self, manifest: Manifest, key: str, *, asked: bool) -> None:
        """A release whose signature is right was offered.

        Args:
            manifest: Its.
            key: Who signed it.
            asked: Whether somebody asked for this very version.

        Raises:
            ModelError: it is offered as the latest, and is older than one that was met; or it is
                another release under the number of one that was met.
        """
        with self._alone():
            self._meet(manifest, key, asked=asked)

    def _meet(self, manifest: Manifest, key: str, *, asked: bool) -> None:
        seen = self._seen(key)
        newest = int(seen.get("version", 0))
        if manifest.version < newest and not asked:
            raise ModelError(
                f"is offered as the latest, but this robot has met release {newest}",
                field="release",
                value=manifest.version,
                remedy="A server that was set back, or somebody in between. To go back on purpose: "
                f"armada models pull {manifest.version}",
            )
        if manifest.version == newest and newest and manifest.digest != seen["digest"]:
            raise ModelError(
                "is another one than this robot has met under that number",
                field="release",
                value=manifest.version,
                remedy="A server's state that was begun anew with the old key; give it a new key",
            )
        if manifest.version > newest:
            about = {"version": manifest.version, "digest": manifest.digest}
            said = self._read()
            self._write(said | {"newest": {**said.get("newest", {}), key: about}})

    def _seen(self, key: str) -> dict[str, Any]:
        seen: dict[str, Any] = self._read().get("newest", {}).get(key, {})
        return seen

    def _read(self) -> dict[str, Any]:
        """Raises: ModelError if it was damaged: what it forgets, an attacker may use."""
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ModelError(
                f"isn't JSON: {error}",
                field="the robot's memory of releases",
                value=self._path,
                remedy="Delete the file; the next release is then believed to be the newest",
            ) from error
        return said if isinstance(said, dict) else {}

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """A pull that meets a release must not write over the pin that its owner sets meanwhile."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with alone(self._path.parent):
            yield

    def _write(self, said: dict[str, Any]) -> None:
        write_text(self._path, json.dumps(said, indent=1))
