"""A simulated client's home: its share of the catalogue, and the policy that all have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.training.home import Home


@dataclass(frozen=True, kw_only=True)
class SimulatedHome(Home):
    """In place of a robot's.

    Args:
        base: Folder of the policy. A copy in each client's model store would be ten on one disk.
    """

    base: Path

    def policy_folder(self, base_digest: str) -> Path:
        """The one there is; the ServerApp took the digest from it."""
        return self.base
