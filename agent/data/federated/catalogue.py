"""Who learns from what: the clients of a federation and the data sets it is measured on.

A catalogue is a claim: it names data sets that may lie on other machines, with the sizes they are
said to have. ``armada data check`` turns claims into verdicts where a data set is at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.data.check.finding import Verdict
from agent.data.split import split
from robots.errors import ConfigError, DataError
from robots.names import check_name


@dataclass(frozen=True, kw_only=True)
class DataEntry:
    """One data set, and what of it is used.

    Args:
        name: Whose it is: a client's name, or an evaluation set's.
        dataset: Hub id, or folder.
        episodes: How many it has.
        frames: How many they have together.
        verdict: The gate's; ``None``: not checked.
        train: Episodes that are learned from.
        evaluation: Episodes that are measured on.
        left_out: Episodes that the gate found not to be clean; nobody uses them.

    Raises:
        ConfigError: a value that no data set can have.
    """

    name: str
    dataset: str
    episodes: int
    frames: int
    verdict: Verdict | None = None
    train: tuple[int, ...] = ()
    evaluation: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if not self.dataset:
            raise ConfigError("is missing", field="dataset", remedy="Write a hub id or a folder")
        if self.episodes < 1:
            raise ConfigError("must be at least 1", field="episodes", value=self.episodes)
        if self.frames < self.episodes:
            raise ConfigError(
                f"can't be fewer than the {self.episodes} episodes",
                field="frames",
                value=self.frames,
            )
        for field in ("train", "evaluation", "left_out"):
            beyond = [n for n in getattr(self, field) if not 0 <= n < self.episodes]
            if beyond:
                raise ConfigError(
                    f"there is no episode {beyond[0]}",
                    field=field,
                    remedy=f"The data set has episodes 0 to {self.episodes - 1}",
                )
        both = set(self.train) & set(self.evaluation)
        if both:
            raise ConfigError(
                f"episode {min(both)} is also trained on",
                field="evaluation",
                remedy="Measure on episodes that nobody learns from",
            )

    def usable(self, role: str) -> tuple[int, ...]:
        """Episodes of a role, ``train`` or ``evaluation``, without those that are left out."""
        of: dict[str, tuple[int, ...]] = {"train": self.train, "evaluation": self.evaluation}
        return tuple(n for n in of[role] if n not in self.left_out)

    def check_size(self, episodes: int, frames: int, where: str) -> None:
        """Refuse a data set of another size than this one claims.

        Raises:
            DataError: it is.
        """
        for what, claimed, there in (
            ("episodes", self.episodes, episodes),
            ("frames", self.frames, frames),
        ):
            if claimed != there:
                raise DataError(
                    f"has {there} {what}, the catalogue claims {claimed}",
                    field=self.name,
                    value=where,
                    remedy="Correct datasets.yaml, or get the data set that it means",
                )


def default_split(episodes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What a client trains on and measures on where its entry doesn't say: as on a robot."""
    train, evaluation = split(episodes)
    return tuple(train), tuple(evaluation)


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """A federation's data.

    Args:
        clients: Each with its data set; a client's place is its partition's number.
        evaluation: Data sets that nobody learns from.
        folder: What relative folders are relative to.

    Raises:
        ConfigError: no clients, a name twice, or an episode that is both learned from and measured
            on, or learned from by two.
    """

    clients: tuple[DataEntry, ...]
    evaluation: tuple[DataEntry, ...] = ()
    folder: Path = Path()

    def __post_init__(self) -> None:
        if not self.clients:
            raise ConfigError("there is none", field="clients", remedy="List at least one")
        names: set[str] = set()
        for entry in self:
            if entry.name in names:
                raise ConfigError("is there twice", field="name", value=entry.name)
            names.add(entry.name)
        self._check_overlap()

    def __iter__(self) -> Iterator[DataEntry]:
        return iter((*self.clients, *self.evaluation))

    def find(self, name: str) -> DataEntry:
        """An entry by its name or its data set.

        Raises:
            ConfigError: there is none.
        """
        for entry in self:
            if name in (entry.name, entry.dataset):
                return entry
        known = ", ".join(entry.name for entry in self)
        raise ConfigError(
            "is not in the catalogue", field="name", value=name, remedy=f"It has {known}"
        )

    def where(self, entry: DataEntry) -> str:
        """What to look for: the hub id, or the folder as seen from here."""
        path = self.folder / Path(entry.dataset).expanduser()
        return str(path) if path.is_dir() else entry.dataset

    def _check_overlap(self) -> None:
        """The same data set may have several entries, but no episode two uses."""
        seen: dict[tuple[str, int], tuple[str, str]] = {}
        for entry in self:
            for role in ("train", "evaluation"):
                for number in getattr(entry, role):
                    by, other = seen.setdefault((entry.dataset, number), (entry.name, role))
                    if by != entry.name and "train" in (role, other):
                        raise ConfigError(
                            f"{by} has episode {number} of {entry.dataset} for {other} already",
                            field=f"{entry.name}.{role}",
                            remedy="Give each its own episodes",
                        )
