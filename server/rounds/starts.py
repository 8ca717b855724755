"""The weights that jobs start from: a release's; version 0 is the base policy."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from agent.federation.payload import trained
from agent.federation.payload.spec import TrainsConfig
from agent.policy import weights
from agent.releases.manifest import BASE, POLICY, TRAINABLE
from server.registry.releases import Releases


class Starts:
    """Those of one fleet; the last one that was asked for stays in memory.

    Args:
        releases: The registry.
    """

    def __init__(self, releases: Releases) -> None:
        self._releases = releases
        self._kept: tuple[int, dict[str, Tensor]] | None = None
        self._lengths: dict[int, float] = {}

    def file(self, version: int) -> Path:
        """Where they are.

        Raises:
            FederationError: there is no such release.
        """
        return self._releases.folder(version) / TRAINABLE

    def load(self, version: int) -> dict[str, Tensor]:
        """The trainable tensors, fp32.

        Raises:
            FederationError: there is no such release.
            ModelError: it can't be read.
        """
        if self._kept is None or self._kept[0] != version:
            self._kept = None
            self._kept = version, weights.load(self.file(version))
        return self._kept[1]

    def length(self, version: int) -> float:
        """What the length of an update that started from them is measured by.

        Raises:
            FederationError: there is no such release.
            ModelError: it, or the base policy, can't be read.
        """
        if version not in self._lengths:
            trains = TrainsConfig(**self._releases.manifest(BASE)["trains"])
            policy = self._releases.folder(BASE) / POLICY
            self._lengths[version] = trained.length(policy, self.load(version), trains)
        return self._lengths[version]
