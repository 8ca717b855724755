"""What is behind the name of a split: a divided data set, or a list of data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lerobot.datasets.lerobot_dataset import LeRobotDataset
from torch.utils.data import ConcatDataset

from agent.data.federated.catalogue import Catalogue, DataEntry
from agent.data.open import open_dataset, open_info
from robots.errors import ConfigError, DataError

if TYPE_CHECKING:
    from agent.data.federated.partitioner import LeRobotDatasetPartitioner


class Divided:
    """Episodes of one data set.

    Args:
        whole: A view of them.
        partitioner: Divides them; ``None``: they stay together.
    """

    def __init__(
        self, whole: LeRobotDataset, partitioner: LeRobotDatasetPartitioner | None
    ) -> None:
        self._whole = whole
        self.partitioner = partitioner
        if partitioner is not None:
            partitioner.dataset = whole

    def load(self) -> LeRobotDataset:
        """All of it."""
        return self._whole


@dataclass(frozen=True)
class Listed:
    """A data set for each partition.

    Args:
        catalogue: Where they are listed.
        entries: Those of this split.
        role: Which of their episodes, ``train`` or ``evaluation``.
        delta_timestamps: As LeRobot's, s.
    """

    catalogue: Catalogue
    entries: Sequence[DataEntry]
    role: str
    delta_timestamps: Mapping[str, list[float]] | None = None

    @property
    def partitioner(self) -> Listed:
        """Its own."""
        return self

    @property
    def num_partitions(self) -> int:
        """How many data sets there are."""
        return len(self.entries)

    def episodes(self, partition_id: int) -> tuple[int, ...]:
        """Episode numbers of a partition, without those that the check left out.

        Raises:
            ConfigError: there is no such partition.
        """
        return self._entry(partition_id).usable(self.role)

    def load_partition(self, partition_id: int) -> LeRobotDataset:
        """One of them.

        Raises:
            ConfigError: there is no such partition.
            DataError: it isn't here, can't be used, or isn't what the catalogue claims.
        """
        entry = self._entry(partition_id)
        where = self.catalogue.where(entry)
        info = open_info(where)
        entry.check_size(len(info.episodes), info.frames, where)
        episodes = entry.usable(self.role)
        if not episodes:
            raise DataError(
                f"it has no usable episodes for {self.role}",
                field=entry.name,
                value=where,
                remedy="See its verdict: `armada data check`",
            )
        return open_dataset(where, episodes=episodes, delta_timestamps=self.delta_timestamps)

    def load(self) -> ConcatDataset[LeRobotDataset]:
        """One after the other.

        Raises:
            DataError: as :meth:`load_partition`.
        """
        return ConcatDataset([self.load_partition(i) for i in range(self.num_partitions)])

    def _entry(self, partition_id: int) -> DataEntry:
        if not 0 <= partition_id < len(self.entries):
            raise ConfigError(
                "there is no such partition",
                field="partition_id",
                value=partition_id,
                remedy=f"There are 0 to {len(self.entries) - 1}",
            )
        return self.entries[partition_id]
