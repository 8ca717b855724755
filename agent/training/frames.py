"""Batches of training frames from the robot's data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
from lerobot.datasets.factory import resolve_delta_timestamps
from torch.utils.data import DataLoader

from agent.data.open import open_dataset


class TrainingFrames:
    """The frames of some episodes, each with the chunk of actions that follows it.

    Args:
        root: The data set.
        episodes: Which of its episodes.
        config: The policy's, which says what chunks it wants.
        rename_map: Robot keys to policy keys.

    Raises:
        DataError: the data set can't be read.
    """

    def __init__(
        self,
        root: Path,
        episodes: Sequence[int],
        config: PreTrainedConfig,
        rename_map: Mapping[str, str],
    ) -> None:
        meta = LeRobotDatasetMetadata(root.name, root=root)
        self._dataset = open_dataset(
            str(root),
            episodes=list(episodes),
            delta_timestamps=resolve_delta_timestamps(config, meta),
        )
        self._rename_map = rename_map

    def __len__(self) -> int:
        return len(self._dataset)

    def batches(self, *, batch_size: int, seed: int) -> Iterator[dict[str, Any]]:
        """Shuffled batches without end; the order follows from ``seed``.

        One process: a worker process would cost more memory than a robot host has to spare, and
        training at home is in no hurry.
        """
        size = min(batch_size, len(self))
        loader = DataLoader(
            self._dataset,
            batch_size=size,
            shuffle=True,
            drop_last=True,
            num_workers=0,
            generator=torch.Generator().manual_seed(seed),
        )
        while True:
            for batch in loader:
                yield {self._rename_map.get(key, key): value for key, value in batch.items()}
