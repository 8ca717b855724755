"""Which episodes a training uses: chosen once, and found again when their numbers have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.data.fingerprint import fingerprints
from agent.data.usable import usable
from robots.errors import DataError
from robots.replay.info import DatasetInfo


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """Numbers of episodes with their fingerprints, in order of recording.

    Args:
        training: To train on.
        heldout: To measure on.
        left_out: How many there were beside these that the quality gate didn't let pass.
    """

    training: dict[int, str]
    heldout: dict[int, str]
    left_out: int = 0

    @classmethod
    def choose(cls, info: DatasetInfo, *, unclean: bool = False) -> Episodes:
        """Of what a data set holds now that the quality gate let pass.

        Args:
            info: The data set's metadata.
            unclean: Whether what it didn't is taken as well.

        Raises:
            DataError: there is none to train on, or a data file can't be read.
        """
        found = usable(info, unclean=unclean)
        training, heldout = found.split()
        if not training:
            raise DataError(
                f"{len(found.episodes)} episodes are too few to train on{found}",
                field="--dataset.root",
                value=info.root,
                remedy="Record at least one",
            )
        return replace(cls.of(info, training, heldout), left_out=found.left_out)

    @classmethod
    def of(cls, info: DatasetInfo, training: Sequence[int], heldout: Sequence[int]) -> Episodes:
        """These episodes of a data set.

        Raises:
            DataError: a data file can't be read.
        """
        # Now, and not when it is done: a recorder may delete old episodes meanwhile.
        known = fingerprints(info, [*training, *heldout])
        return cls(
            training={index: known[index] for index in training},
            heldout={index: known[index] for index in heldout},
        )

    def found(self, info: DatasetInfo) -> Episodes:
        """The same episodes with the numbers that they have now: some may have been added, and
        others deleted, since they were chosen.

        Raises:
            DataError: one of them is no longer there.
        """
        now = fingerprints(info)
        numbers: dict[str, list[int]] = {}
        for index in sorted(now):
            numbers.setdefault(now[index], []).append(index)

        def find(chosen: Mapping[int, str]) -> dict[int, str]:
            found: dict[int, str] = {}
            for index, digest in chosen.items():
                if not numbers.get(digest):
                    raise DataError(
                        f"episode {index}, on which this training began, was deleted",
                        field="dataset",
                        value=info.root,
                    )
                found[numbers[digest].pop(0)] = digest
            return found

        return replace(self, training=find(self.training), heldout=find(self.heldout))

    def to_json(self) -> dict[str, Any]:
        return {
            "training": [[i, d] for i, d in self.training.items()],
            "heldout": [[i, d] for i, d in self.heldout.items()],
            "left_out": self.left_out,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Episodes:
        return cls(
            training={int(i): str(d) for i, d in values["training"]},
            heldout={int(i): str(d) for i, d in values["heldout"]},
            left_out=int(values.get("left_out", 0)),
        )
