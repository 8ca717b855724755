"""A server optimiser's memory from round to round, which belongs to the weights that it led to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from agent.policy import weights
from agent.policy.atomic import sync_tree, write_text
from robots.errors import FederationError
from server.aggregation.config import AggregateConfig
from server.aggregation.flower_maths import MOMENTS, Values, server_step

_STEPS = "steps.json"
_UNFINISHED = ".unfinished"


class Optimiser:
    """Flower's FedAvgM, FedAdam, FedYogi or FedAdagrad (arXiv:1909.06335, arXiv:2003.00295).

    What it remembers lies in ``folder/<strategy>-<digest>``, named by the digest of the weights
    that it led to, a file a tensor. A round starts from weights, hence from the memory that
    belongs to them: aggregated again after a crash it starts from the same, and after a return to
    earlier weights from theirs if it is still there. Memories other than those of the last step's
    start and result are removed.

    Memory: a few fp64 copies of one tensor. Disk: 4 bytes a number for FedAvgM and FedAdagrad, 8
    for the others, twice.

    Use as a context manager; what isn't ``keep``-ed is gone.
    """

    def __init__(self, config: AggregateConfig, folder: Path, start_digest: str) -> None:
        self._config = config
        self._folder = folder
        self._start_digest = start_digest
        self._before = folder / self._name(start_digest)
        self._after = folder / _UNFINISHED
        self.steps = _steps(self._before) + 1
        """Which step this is, from 1: it began anew."""

    def __enter__(self) -> Self:
        shutil.rmtree(self._after, ignore_errors=True)
        self._after.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._after, ignore_errors=True)

    def step(self, name: str, start: Tensor, change: Tensor) -> Tensor:
        """The weights that follow, fp64.

        Args:
            name: Of the tensor.
            start: The round's weights.
            change: The robots' mean change of them.

        Raises:
            ModelError: its memory can't be read.
        """
        begin = start.double()
        after, moments = server_step(
            self._config, begin.numpy(), (begin + change).numpy(), self._recall(name), self.steps
        )
        save_file(
            {key: torch.from_numpy(value).float() for key, value in moments.items()},
            self._after / _file(name),
        )
        return torch.from_numpy(after)

    def keep(self, result_digest: str) -> None:
        """Remember this step as the one that led to the weights of this digest."""
        if result_digest == self._start_digest:
            # Nothing has moved: the memory of these weights is the one that it began with.
            return
        write_text(self._after / _STEPS, json.dumps({"steps": self.steps}))
        sync_tree(self._after)
        place = self._folder / self._name(result_digest)
        shutil.rmtree(place, ignore_errors=True)
        self._after.rename(place)
        for other in self._folder.glob(f"{self._config.strategy}-*"):
            if other not in (place, self._before):
                shutil.rmtree(other)

    def _recall(self, name: str) -> dict[str, Values]:
        if self.steps == 1:
            return {}
        tensors: Mapping[str, Tensor] = weights.load(self._before / _file(name))
        return {
            key: tensors[key].numpy().astype(np.float64) for key in MOMENTS[self._config.strategy]
        }

    def _name(self, digest: str) -> str:
        return _place(self._config, digest)


def hand_over(config: AggregateConfig, folder: Path, result: str, released: str) -> None:
    """Let the memory that belongs to a result belong to what was released in its place: where
    updates are rounded, releases are, too. Done twice it is done once.

    Args:
        config: How it was aggregated.
        folder: Of what is remembered.
        result: Digest of the result.
        released: Digest of the release.
    """
    place, other = folder / _place(config, result), folder / _place(config, released)
    if result != released and place.is_dir():
        shutil.rmtree(other, ignore_errors=True)
        place.rename(other)


def _place(config: AggregateConfig, digest: str) -> str:
    return f"{config.strategy}-{digest.removeprefix('sha256:')[:32]}"


def _file(name: str) -> str:
    return f"{name}.safetensors"


def _steps(folder: Path) -> int:
    """How many steps a memory holds; 0 where there is none.

    Raises:
        FederationError: it isn't what ``keep`` wrote.
    """
    if not folder.is_dir():
        return 0
    try:
        return int(json.loads((folder / _STEPS).read_text(encoding="utf-8"))["steps"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FederationError(
            f"the optimiser's memory can't be read: {error}",
            field="optimiser",
            value=folder,
            remedy="Remove the folder to begin anew",
        ) from error
