"""Which release a model of the store is, and what it was trained with."""

from __future__ import annotations

from agent.policy.store import StoredModel


def release_of(model: StoredModel | None) -> int:
    """The number of the release that a model is; 0: none of the fleet's."""
    if model is None or not isinstance(model.origin, dict):
        return 0
    version = model.origin.get("release", 0)
    return version if type(version) is int and version > 0 else 0


def pooled_of(model: StoredModel) -> str:
    """The fleet's statistics as JSON, that a release was trained with; empty: the robot's own."""
    return str(model.origin.get("normaliser", "")) if isinstance(model.origin, dict) else ""
