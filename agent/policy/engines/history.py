"""What policies with several observations at once have seen of each robot.

LeRobot keeps that in the policy itself, for one robot, and only ``select_action`` fills it. Here it
lies beside the policy, a history for each robot, and is lent to the policy for one pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import ACTION, OBS_IMAGES
from torch import Tensor


class History:
    """The newest observations of each robot, as many as the policy looks at.

    Args:
        policy: One that keeps observations in queues (Diffusion, VQ-BeT …).
    """

    def __init__(self, policy: PreTrainedPolicy) -> None:
        self._policy: Any = policy
        self._length: int = policy.config.n_obs_steps
        self._seen: dict[str, deque[dict[str, Tensor]]] = {}

    def forget(self, robot: str) -> None:
        """Drop what was seen of a robot."""
        self._seen.pop(robot, None)

    def predict(self, batch: dict[str, Any], robots: Sequence[str]) -> Tensor:
        """The chunks of a batch, each with its own robot's past; a first observation counts as
        having been there all the time, as in LeRobot."""
        policy = self._policy
        batch, pasts = self._append(batch, robots)
        policy.reset()
        try:
            for key in pasts[0][0]:
                policy._queues[key].extend(
                    torch.cat([past[i][key] for past in pasts]) for i in range(self._length)
                )
            chunks: Tensor = policy.predict_action_chunk(batch)
        finally:
            policy.reset()
        return chunks

    def remember(self, batch: dict[str, Any], robots: Sequence[str]) -> None:
        """An observation that was made before the next one of ``predict``."""
        self._append(batch, robots)

    def _append(
        self, batch: dict[str, Any], robots: Sequence[str]
    ) -> tuple[dict[str, Any], list[deque[dict[str, Tensor]]]]:
        """The batch as LeRobot's queues take it, and what each of its robots has seen."""
        images = self._policy.config.image_features
        batch = dict(batch)
        if images:
            batch[OBS_IMAGES] = torch.stack([batch[key] for key in images], dim=-4)
        kept = [key for key in self._policy._queues if key != ACTION and key in batch]
        pasts = []
        for row, robot in enumerate(robots):
            newest = {key: batch[key][row : row + 1] for key in kept}
            past = self._seen.setdefault(robot, deque([newest] * self._length, self._length))
            past.append(newest)
            pasts.append(past)
        return batch, pasts
