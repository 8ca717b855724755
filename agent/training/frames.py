"""Batches of training frames from the robot's data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
from lerobot.datasets.factory import resolve_delta_timestamps
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from torch.utils.data import default_collate

from agent.data.open import open_dataset
from agent.recorder.marks import FAULT
from robots.errors import DataError


class TrainingFrames:
    """The frames of some episodes, each with the chunk of actions that follows it. What control
    missed or doubted (``complementary_info.is_fault``) is no frame to learn from.

    One process reads them: a worker process would cost more memory than a robot host has to spare,
    and training at home is in no hurry.

    Args:
        root: The data set.
        episodes: Which of its episodes.
        config: The policy's, which says what chunks it wants.
        rename_map: Robot keys to policy keys.
        batch_size: Frames a step, if there are so many.
        seed: Of their order.

    Raises:
        DataError: the data set can't be read, or all frames are faults.
    """

    def __init__(
        self,
        root: Path,
        episodes: Sequence[int],
        config: PreTrainedConfig,
        rename_map: Mapping[str, str],
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        meta = LeRobotDatasetMetadata(root.name, root=root)
        self._dataset = open_dataset(
            str(root),
            episodes=list(episodes),
            delta_timestamps=resolve_delta_timestamps(config, meta),
        )
        self._frames = _sound(self._dataset)
        if not self._frames:
            raise DataError(
                "all frames of its training episodes are faults",
                field="dataset",
                value=root,
                remedy=f"See `armada data check {root}`",
            )
        self._rename_map = rename_map
        self._size = min(batch_size, len(self))
        self._seed = seed
        self._epoch = -1
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._frames)

    def batch(self, step: int) -> dict[str, Any]:
        """The batch of a step, counted from 0: shuffled anew each time that all frames were seen
        (but for those that fill no batch). It follows from the seed and the step alone, whatever
        was asked for before."""
        epoch, index = divmod(step, len(self) // self._size)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self._seed + epoch * 2**31)
            self._order = torch.randperm(len(self), generator=generator).tolist()
            self._epoch = epoch
        chosen = self._order[index * self._size : (index + 1) * self._size]
        batch = default_collate([self._dataset[self._frames[i]] for i in chosen])
        return {self._rename_map.get(key, key): value for key, value in batch.items()}


def _sound(dataset: LeRobotDataset) -> list[int]:
    """The frames of an opened data set that aren't marked as faults."""
    if FAULT not in dataset.features:
        return list(range(len(dataset)))
    marked = dataset.hf_dataset.select_columns(FAULT).with_format("numpy")[:][FAULT]
    return [int(i) for i in np.flatnonzero(~np.asarray(marked, bool).reshape(-1))]
