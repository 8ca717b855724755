"""Which episodes go to which partition: Flower's partitioners, given a table of episodes.

Flower's partitioners divide the rows of a table. A row here is an episode, so whatever they do they
never cut one, and all of them can be used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from datasets import Dataset
from flwr_datasets.partitioner import Partitioner

from robots.errors import DataError
from robots.replay.info import EpisodeInfo

EPISODE, LENGTH, TASK = "episode_index", "length", "task"
"""The table's columns, for Flower's ``partition_by``."""


def assign(
    episodes: Sequence[EpisodeInfo], by: Partitioner, *, seed: int
) -> tuple[tuple[int, ...], ...]:
    """Divide episodes.

    Args:
        episodes: All there are to divide.
        by: A partitioner that divided nothing yet.
        seed: Of the order in which it gets them; recordings that follow each other are alike.

    Returns:
        Episode numbers by partition, in rising order.

    Raises:
        DataError: the partitioner can't, or a partition would be empty.
    """
    order = np.random.default_rng(seed).permutation(len(episodes))
    rows = [episodes[int(i)] for i in order]
    table = {
        EPISODE: [episode.index for episode in rows],
        LENGTH: [episode.length for episode in rows],
        TASK: ["; ".join(episode.tasks) for episode in rows],
    }
    by.dataset = Dataset.from_dict(table)
    try:
        parts = [
            sorted(int(n) for n in by.load_partition(i)[EPISODE]) for i in range(by.num_partitions)
        ]
    except (ValueError, IndexError) as error:
        raise DataError(
            " ".join(str(error).split()),
            field="partitioner",
            value=type(by).__name__,
            remedy="Ask for fewer partitions, or give it another seed or alpha",
        ) from error
    if not all(parts):
        raise DataError(
            f"{len(episodes)} episodes leave partition {parts.index([])} empty",
            field="partitioner",
            value=type(by).__name__,
            remedy="Ask for fewer partitions",
        )
    return tuple(tuple(part) for part in parts)
