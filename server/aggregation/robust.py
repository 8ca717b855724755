"""Statistics that a minority of liars can't move far: median, trimmed mean, Krum.

The first two look at each number by itself and count heads; Krum chooses whole updates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from server.aggregation.columns import columns
from server.aggregation.config import MEDIAN, AggregateConfig
from server.aggregation.flower_maths import trimmed_mean
from server.aggregation.weigh import Share


class Coordinates:
    """Median or trimmed mean of each number (arXiv:1803.01498), as in Flower's FedMedian and
    FedTrimmedAvg: NumPy's median, Flower's ``trim_mean``.

    Memory: a few blocks of ``columns``, about 0.15 GB, however many robots there are. Disk: 4 bytes
    a robot and a number of the largest tensor.
    """

    def __init__(
        self,
        config: AggregateConfig,
        shares: Sequence[Share],
        start: Mapping[str, Tensor],
        scratch: Path,
    ) -> None:
        self._config = config
        self._shares = shares
        self._start = start
        self._scratch = scratch

    def __call__(self, name: str) -> Tensor:
        """The statistic of one tensor's changes, fp64."""
        result = torch.empty(self._start[name].numel(), dtype=torch.float64)
        for part, block in columns(self._shares, name, self._start, self._scratch):
            if self._config.strategy == MEDIAN:
                values = np.median(block, axis=0, overwrite_input=True)
            else:
                values = trimmed_mean(block, self._config.parameter("beta"))
            result[part] = torch.from_numpy(values)
        return result.reshape(self._start[name].shape)


def krum(
    config: AggregateConfig, shares: Sequence[Share], start: Mapping[str, Tensor], scratch: Path
) -> list[Share]:
    """The updates that lie nearest to their n − f − 2 nearest others: Krum's one, or Multi-Krum's
    ``num_nodes_to_select`` (Blanchard et al., NeurIPS 2017), in order of names.

    The distances are Flower's ‖x‖² + ‖y‖² − 2·x·y, of changes in place of weights and in fp64: in
    fp32 the weights' own length drowns them.

    Memory: a few blocks of ``columns`` and n² distances. Every update is read twice: here, and when
    the chosen are averaged.
    """
    products = np.zeros((len(shares), len(shares)))
    for name in sorted(start):
        for _, block in columns(shares, name, start, scratch):
            wide = block.astype(np.float64)
            products += wide @ wide.T
    chosen = _nearest(
        _distances(products),
        config.count("num_malicious_nodes"),
        config.count("num_nodes_to_select"),
    )
    return [shares[index] for index in chosen]


def _distances(products: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Squared distances from the inner products of all pairs."""
    squares = np.diag(products)
    return np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0.0)


def _nearest(distances: npt.NDArray[np.float64], malicious: int, select: int) -> list[int]:
    closest = len(distances) - malicious - 2
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    scores = np.sort(others, axis=1)[:, :closest].sum(axis=1)
    return sorted(int(i) for i in np.argsort(scores, kind="stable")[:select])
