"""``torch``: any LeRobot policy, through its own ``predict_action_chunk``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lerobot.policies.pretrained import PreTrainedPolicy
from torch import Tensor

from agent.policy.continuation import guided

if TYPE_CHECKING:
    from agent.policy.guidance import Guidance


class PlainEngine:
    """LeRobot's own way.

    Args:
        policy: In evaluation mode.
    """

    name = "torch"
    exact = True

    def __init__(self, policy: PreTrainedPolicy) -> None:
        self._policy = policy

    def noise_shape(self, batch_size: int) -> tuple[int, int, int] | None:
        config = self._policy.config
        if config.type != "smolvla":
            return None
        return batch_size, config.chunk_size, config.max_action_dim

    def predict(
        self,
        batch: dict[str, Any],
        *,
        robots: Sequence[str],
        noise: Tensor | None = None,
        guidance: Guidance | None = None,
    ) -> Tensor:
        options = {} if noise is None else {"noise": noise}
        with contextlib.nullcontext() if guidance is None else guided(self._policy, guidance):
            chunks: Tensor = self._policy.predict_action_chunk(batch, **options)
        return chunks

    def forget(self, robot: str) -> None:
        """Nothing is remembered."""
