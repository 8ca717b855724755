"""The tiny model as the policy server has it."""

from __future__ import annotations

from tests.server.policy.conftest import model, other_model

__all__ = ["model", "other_model"]
