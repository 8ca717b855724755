"""A federation's data in the shape of Flower Datasets' ``FederatedDataset``.

Plain LeRobot data sets come out. Nothing is downloaded: what isn't on this machine is an error that
says how to get it, and nobody is told what is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lerobot.datasets.lerobot_dataset import LeRobotDataset
from torch.utils.data import ConcatDataset

from agent.data.federated.catalogue import Catalogue
from agent.data.federated.catalogue_file import read_catalogue
from agent.data.federated.splits import Divided, Listed
from agent.data.open import open_dataset, open_info
from agent.data.split import split as hold_out
from robots.errors import ConfigError

if TYPE_CHECKING:
    from agent.data.federated.partitioner import LeRobotDatasetPartitioner


class FederatedLeRobotDataset:
    """One data set divided among clients, or (:meth:`of_catalogue`) a data set for each client.

    Args:
        dataset: Folder, or hub id that is on this machine.
        partitioners: Split → how it is divided; a number: so many partitions, alike in number of
            episodes.
        splits: Split → its episodes; by default ``train``, and ``test``: the last tenth, as a robot
            holds it out.
        delta_timestamps: As LeRobot's, s.
        seed: Of partitioners that are given as a number.

    Raises:
        DataError: the data set can't be used.
        ConfigError: a partitioner for a split that there isn't, or one for two splits.
    """

    def __init__(
        self,
        *,
        dataset: str | Path,
        partitioners: Mapping[str, LeRobotDatasetPartitioner | int],
        splits: Mapping[str, Sequence[int]] | None = None,
        delta_timestamps: Mapping[str, list[float]] | None = None,
        seed: int = 42,
    ) -> None:
        if splits is None:
            train, test = hold_out(len(open_info(dataset).episodes))
            splits = {"train": train, "test": test} if test else {"train": train}
        given = [id(by) for by in partitioners.values() if not isinstance(by, int)]
        if len(set(given)) < len(given):
            raise ConfigError("one partitioner can't divide two splits", field="partitioners")
        for name in partitioners:
            _known(name, splits, field="partitioners")
        self._splits: dict[str, Divided | Listed] = {}
        for name, episodes in splits.items():
            by = partitioners.get(name)
            self._splits[name] = Divided(
                open_dataset(dataset, episodes=episodes, delta_timestamps=delta_timestamps),
                _at_random(by, seed) if isinstance(by, int) else by,
            )

    @classmethod
    def of_catalogue(
        cls,
        catalogue: Catalogue | Path,
        *,
        delta_timestamps: Mapping[str, list[float]] | None = None,
    ) -> Self:
        """The data sets of a ``datasets.yaml``, one a client.

        Its splits: ``train`` and ``test``, whose partitions are the clients' in their order, and
        ``evaluation``, whose partitions are the evaluation sets.

        Args:
            catalogue: A catalogue, or the file.
            delta_timestamps: As LeRobot's, s.

        Raises:
            ConfigError: the file is wrong.
        """
        known = read_catalogue(catalogue) if isinstance(catalogue, Path) else catalogue
        new = cls.__new__(cls)
        roles = {
            "train": (known.clients, "train"),
            "test": (known.clients, "evaluation"),
            "evaluation": (known.evaluation, "evaluation"),
        }
        new._splits = {
            name: Listed(known, entries, role, delta_timestamps)
            for name, (entries, role) in roles.items()
            if entries
        }
        return new

    @property
    def partitioners(self) -> dict[str, LeRobotDatasetPartitioner | Listed]:
        """Split → who divides it, for all that are divided; each has ``num_partitions`` and
        ``load_partition``."""
        return {name: of.partitioner for name, of in self._splits.items() if of.partitioner}

    def load_partition(self, partition_id: int, split: str | None = None) -> LeRobotDataset:
        """One client's data set.

        Args:
            partition_id: From 0.
            split: Which split's; may be left out where only one is divided.

        Raises:
            ConfigError: there is no such partition or split.
            DataError: it can't be used; for one that isn't on this machine, how to get it.
        """
        divided = self.partitioners
        if split is None:
            if len(divided) != 1:
                raise ConfigError(
                    "is needed", field="split", remedy=f"One of: {', '.join(divided)}"
                )
            split = next(iter(divided))
        _known(split, self._splits, field="split")
        if split not in divided:
            raise ConfigError(
                "isn't divided", field="split", value=split, remedy="Give it a partitioner"
            )
        return divided[split].load_partition(partition_id)

    def load_split(self, split: str) -> LeRobotDataset | ConcatDataset[LeRobotDataset]:
        """All of a split; of several data sets, one after the other.

        Raises:
            ConfigError, DataError: as :meth:`load_partition`.
        """
        _known(split, self._splits, field="split")
        return self._splits[split].load()


def _at_random(partitions: int, seed: int) -> LeRobotDatasetPartitioner:
    # Imported here: it is slow, and who has a data set for each client needs none.
    try:
        from agent.data.federated.partitioner import LeRobotDatasetPartitioner
    except ModuleNotFoundError as error:
        raise ConfigError(
            "Flower Datasets isn't installed",
            field="partitioners",
            remedy="pip install 'armada[sim]'",
        ) from error
    return LeRobotDatasetPartitioner(partitions, seed=seed)


def _known(split: str, splits: Mapping[str, object], *, field: str) -> None:
    if split not in splits:
        raise ConfigError(
            "there is no such split",
            field=field,
            value=split,
            remedy=f"One of: {', '.join(splits)}",
        )
