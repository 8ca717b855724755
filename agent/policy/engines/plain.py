"""``torch``: any LeRobot policy, through its own ``predict_action_chunk``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lerobot.policies.pretrained import PreTrainedPolicy
from torch import Tensor

from agent.policy.continuation import guided
from agent.policy.engines.history import History
from robots.errors import ModelError

if TYPE_CHECKING:
    from agent.policy.guidance import Guidance


class PlainEngine:
    """LeRobot's own way.

    Args:
        policy: In evaluation mode.
    """

    name = "torch"
    exact = True
    independent = True

    def __init__(self, policy: PreTrainedPolicy) -> None:
        self._policy = policy
        self.timings: dict[str, float] = {}
        looks_back = policy.config.n_obs_steps > 1 and hasattr(policy, "_queues")
        self._history = History(policy) if looks_back else None
        self.looks_back: int = policy.config.n_obs_steps if looks_back else 1

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
        if self._history is not None:
            return self._history.predict(batch, robots)
        options = {} if noise is None else {"noise": noise}
        with contextlib.nullcontext() if guidance is None else guided(self._policy, guidance):
            try:
                chunks: Tensor = self._policy.predict_action_chunk(batch, **options)
            except NotImplementedError as error:
                raise ModelError(
                    "a policy of this type computes no chunks",
                    field="--policy.path",
                    value=self._policy.config.type,
                ) from error
        return chunks

    def remember(self, batch: dict[str, Any], *, robots: Sequence[str]) -> None:
        if self._history is not None:
            self._history.remember(batch, robots)

    def forget(self, robot: str) -> None:
        if self._history is not None:
            self._history.forget(robot)
