"""FedAvg: the weighted mean of what robots changed (arXiv:1602.05629)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from server.aggregation.weigh import Share, normed


class Mean:
    """The weighted mean, added up in fp64 in order of the robots' names.

    Flower's ``aggregate_arrayrecords`` computes the same in fp32 from replies that are all in
    memory; here it is one tensor in fp64 and one of one robot, however many robots there are.
    """

    def __init__(self, shares: Sequence[Share], start: Mapping[str, Tensor]) -> None:
        self._shares = normed(shares)
        self._start = start

    def __call__(self, name: str) -> Tensor:
        """Mean change of one tensor, fp64."""
        total = torch.zeros(self._start[name].shape, dtype=torch.float64)
        for share in self._shares:
            change = share.update.delta(name, self._start, share.scale)
            total.add_(change, alpha=share.weight)
        return total
