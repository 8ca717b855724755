"""Partitions of given sizes, counted in frames: what a robot weighs in a federated average."""

from __future__ import annotations

from collections.abc import Sequence

from datasets import Dataset
from flwr_datasets.partitioner import Partitioner


class SharePartitioner(Partitioner):  # type: ignore[misc]
    """Divides a table of episodes so that each partition has about its share of the frames.

    The longest episodes are dealt first, each to the partition that lacks most; none stays empty
    as long as there are enough episodes.

    Args:
        shares: How large the partitions are in relation to each other.

    Raises:
        ValueError: a share that isn't positive.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        super().__init__()
        if not shares or not all(0 < share < float("inf") for share in shares):
            raise ValueError("shares must be positive numbers")
        self._shares = [share / sum(shares) for share in shares]
        self._parts: list[list[int]] = []

    @property
    def num_partitions(self) -> int:
        return len(self._shares)

    def load_partition(self, partition_id: int) -> Dataset:
        """Rows of the table."""
        if not self._parts:
            self._parts = self._deal(list(self.dataset["length"]))
        return self.dataset.select(self._parts[partition_id])

    def _deal(self, lengths: list[int]) -> list[list[int]]:
        parts: list[list[int]] = [[] for _ in self._shares]
        lacking = [share * sum(lengths) for share in self._shares]
        rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        for left, row in zip(range(len(rows), 0, -1), rows, strict=True):
            empty = [i for i, part in enumerate(parts) if not part]
            among = empty if len(empty) >= left else range(len(parts))
            to = max(among, key=lambda i: lacking[i])
            parts[to].append(row)
            lacking[to] -= lengths[row]
        return parts
