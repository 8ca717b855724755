"""A LeRobot data set divided among clients, in the shape of Flower Datasets' partitioners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from flwr_datasets.partitioner import (
    DirichletPartitioner,
    GroupedNaturalIdPartitioner,
    IidPartitioner,
    Partitioner,
)
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.data.federated.assign import TASK, assign
from agent.data.federated.shares import SharePartitioner
from agent.data.open import open_dataset, open_info
from robots.errors import ConfigError
from robots.replay.info import EpisodeInfo

SEED = 42
"""Flower Datasets' own default."""


class LeRobotDatasetPartitioner(Partitioner):  # type: ignore[misc]
    """Divides a ``LeRobotDataset`` into ``LeRobotDataset`` views of whole episodes.

    The same seed gives the same partitions on every machine. One partitioner divides one data set.

    Args:
        num_partitions: How many, alike in number of episodes, drawn at random. For other ways there
            are ``by_task``, ``by_size``, ``skewed`` and ``of``.
        seed: Of the draw.

    Raises:
        ConfigError: a number that can't be.
    """

    def __init__(self, num_partitions: int, *, seed: int = SEED) -> None:
        super().__init__()
        self._use(_checked(IidPartitioner, num_partitions), seed)

    @classmethod
    def by_episode(cls, num_partitions: int, *, seed: int = SEED) -> Self:
        """Alike in number of episodes, drawn at random."""
        return cls(num_partitions, seed=seed)

    @classmethod
    def by_task(cls, tasks_per_partition: int = 1, *, seed: int = SEED) -> Self:
        """Each has tasks of its own; as many partitions as that gives."""
        if tasks_per_partition < 1:
            raise ConfigError(
                "must be at least 1", field="tasks_per_partition", value=tasks_per_partition
            )
        return cls.of(
            GroupedNaturalIdPartitioner(partition_by=TASK, group_size=tasks_per_partition),
            seed=seed,
        )

    @classmethod
    def by_size(cls, shares: Sequence[float], *, seed: int = SEED) -> Self:
        """Each has about its share of the frames: ``[1, 1, 2]`` gives the third half of them."""
        return cls.of(_checked(SharePartitioner, shares), seed=seed)

    @classmethod
    def skewed(cls, num_partitions: int, *, alpha: float, seed: int = SEED) -> Self:
        """Each has another mixture of tasks (Dirichlet, arXiv:1905.12022); with one task, another
        number of episodes.

        Args:
            num_partitions: How many.
            alpha: The smaller, the more they differ; 100 is nearly alike.
            seed: Of the draw.
        """
        partitioner = _checked(
            DirichletPartitioner,
            num_partitions,
            partition_by=TASK,
            alpha=float(alpha),
            min_partition_size=1,
            seed=seed,
        )
        return cls.of(partitioner, seed=seed)

    @classmethod
    def of(cls, partitioner: Partitioner, *, seed: int = SEED) -> Self:
        """By any partitioner of Flower Datasets, over a table with a row for each episode and the
        columns ``episode_index``, ``length`` and ``task``."""
        new = cls(1)
        new._use(partitioner, seed)
        return new

    def _use(self, by: Partitioner, seed: int) -> None:
        self._by = by
        self._seed = seed
        self._whole: LeRobotDataset | None = None
        self._parts: tuple[tuple[int, ...], ...] = ()

    @property
    def dataset(self) -> LeRobotDataset:
        """What is divided.

        Raises:
            AttributeError: it hasn't been assigned.
        """
        if self._whole is None:
            raise AttributeError("the dataset field has to be set before it is used")
        return self._whole

    @dataset.setter
    def dataset(self, value: LeRobotDataset) -> None:
        if self._whole is not None:
            raise ValueError("the dataset can be assigned only once")
        if not isinstance(value, LeRobotDataset):
            raise TypeError(f"the dataset must be a LeRobotDataset, not {type(value)}")
        self._whole = value

    def is_dataset_assigned(self) -> bool:
        """Whether there is something to divide."""
        return self._whole is not None

    @property
    def num_partitions(self) -> int:
        """How many there are.

        Raises:
            DataError: the data set can't be divided so.
        """
        return len(self._assigned())

    def episodes(self, partition_id: int) -> tuple[int, ...]:
        """Episode numbers of a partition.

        Raises:
            DataError: the data set can't be divided so.
            ConfigError: there is no such partition.
        """
        parts = self._assigned()
        if not 0 <= partition_id < len(parts):
            raise ConfigError(
                "there is no such partition",
                field="partition_id",
                value=partition_id,
                remedy=f"There are 0 to {len(parts) - 1}",
            )
        return parts[partition_id]

    def load_partition(self, partition_id: int) -> LeRobotDataset:
        """A view of the same files, with the delta timestamps and transforms of the whole.

        Raises:
            DataError, ConfigError: as :meth:`episodes`.
        """
        whole = self.dataset
        view = open_dataset(
            whole.root,
            episodes=self.episodes(partition_id),
            delta_timestamps=whole.delta_timestamps,
        )
        if whole.image_transforms is not None:
            view.set_image_transforms(whole.image_transforms)
        return view

    def divide(self, episodes: Sequence[EpisodeInfo]) -> tuple[tuple[int, ...], ...]:
        """Episode numbers by partition, without a data set at hand; a partitioner divides once.

        Raises:
            DataError: they can't be divided so.
        """
        return assign(episodes, self._by, seed=self._seed)

    def _assigned(self) -> tuple[tuple[int, ...], ...]:
        if not self._parts:
            whole = self.dataset
            of = [
                episode
                for episode in open_info(whole.root).episodes
                if whole.episodes is None or episode.index in whole.episodes
            ]
            self._parts = self.divide(of)
        return self._parts


def _checked(kind: type[Partitioner], *args: object, **options: object) -> Partitioner:
    """A partitioner of Flower's, whose refusals are ours."""
    try:
        return kind(*args, **options)
    except ValueError as error:
        raise ConfigError(str(error), field="partitioner", value=kind.__name__) from error
