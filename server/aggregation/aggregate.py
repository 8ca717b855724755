"""From the updates of a round to the weights that follow."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from agent.policy import weights
from robots.errors import FederationError
from server.aggregation.config import (
    KRUM,
    MEDIAN,
    OPTIMISERS,
    TRIMMED_MEAN,
    AggregateConfig,
)
from server.aggregation.mean import Mean
from server.aggregation.optimiser import Optimiser
from server.aggregation.privacy import Noise
from server.aggregation.robust import Coordinates, krum
from server.aggregation.stored import StoredUpdate
from server.aggregation.weigh import Refused, Share, weigh


class TooFewError(FederationError):
    """Too few robots' updates are left; ``refused`` holds those that were not."""

    def __init__(self, message: str, refused: Sequence[Refused]) -> None:
        super().__init__(message)
        self.refused = tuple(refused)


@dataclass(frozen=True)
class Aggregate:
    """What came of a round's updates.

    Args:
        tensors: The weights that follow, fp32, by name.
        metrics: Numbers for the operator; docs/aggregation.md lists them.
        refused: Updates that weren't aggregated, with the reason.
        used: Those that were; with Krum the chosen ones.
    """

    tensors: dict[str, Tensor]
    metrics: dict[str, float]
    refused: tuple[Refused, ...]
    used: tuple[StoredUpdate, ...]


def aggregate(
    config: AggregateConfig,
    start: Mapping[str, Tensor],
    updates: Sequence[StoredUpdate],
    state: Path,
    seed: int,
    min_robots: int = 1,
) -> Aggregate:
    """Make one out of many, a tensor at a time.

    The result follows from the arguments and what is in ``state``, bit for bit on the same machine:
    the order of ``updates`` doesn't count, and a call repeated after a crash gives the same again.

    Memory: ``start``, the result, and what the strategy says of itself; it doesn't grow with the
    number of updates.

    Args:
        config: How.
        start: The weights that the round started from, fp32.
        updates: Each checked and stored.
        state: Folder of what is remembered from round to round; made if need be.
        seed: Draws the noise of differential privacy, together with a secret of the server's.
        min_robots: Fewest robots of whom an update must be left once the too long are refused.

    Raises:
        TooFewError: too few robots, for ``min_robots`` or for what the strategy promises.
        FederationError: a result that isn't finite.
        ModelError: a stored file can't be read.
    """
    shares, refused = weigh(config, updates)
    _enough(config, shares, refused, min_robots)
    state.mkdir(parents=True, exist_ok=True)
    start_digest = weights.digest(start) if config.private or config.strategy in OPTIMISERS else ""
    metrics = _metrics(shares, refused)
    if config.strategy == KRUM:
        shares = krum(config, shares, start, state)
        metrics["chosen"] = len(shares)
    combined: Callable[[str], Tensor] = (
        Coordinates(config, shares, start, state)
        if config.strategy in (MEDIAN, TRIMMED_MEAN)
        else Mean(shares, start)
    )
    noise = Noise(config, state, seed, start_digest, shares) if config.private else None
    tensors: dict[str, Tensor] = {}
    moved: list[float] = []
    with contextlib.ExitStack() as stack:
        optimiser = None
        if config.strategy in OPTIMISERS:
            optimiser = stack.enter_context(Optimiser(config, state, start_digest))
        for name in sorted(start):
            change = combined(name)
            if noise is not None:
                change = noise.add(name, change)
            after = (
                start[name].double() + change
                if optimiser is None
                else optimiser.step(name, start[name], change)
            )
            tensors[name] = _finite(name, after.float())
            moved.append(_square(tensors[name].double() - start[name]))
        if optimiser is not None:
            metrics["optimiser-steps"] = optimiser.steps
            optimiser.keep(weights.digest(tensors))
    if noise is not None:
        metrics["noise-deviation"] = noise.deviation
    metrics["change-norm"] = math.sqrt(math.fsum(moved))
    return Aggregate(tensors, metrics, tuple(refused), tuple(share.update for share in shares))


def _enough(
    config: AggregateConfig,
    shares: Sequence[Share],
    refused: Sequence[Refused],
    min_robots: int,
) -> None:
    robots = {share.update.robot for share in shares}
    if len(robots) >= max(config.fewest, min_robots):
        return
    reasons = "; ".join(f"{r.update.robot}: {r.reason}" for r in refused)
    raise TooFewError(
        f"{config.strategy} needs updates of {max(config.fewest, min_robots)} robots "
        f"and has {len(robots)}" + (f" ({reasons})" if reasons else ""),
        refused,
    )


def _metrics(shares: Sequence[Share], refused: Sequence[Refused]) -> dict[str, float]:
    norms = [share.update.norm for share in shares]
    return {
        "updates": len(shares),
        "refused": len(refused),
        "shortened": sum(share.scale < 1.0 for share in shares),
        "late": sum(share.update.staleness > 0 for share in shares),
        "samples": sum(share.update.samples for share in shares),
        "update-norm-mean": math.fsum(norms) / len(norms),
        "update-norm-max": max(norms),
    }


def _finite(name: str, tensor: Tensor) -> Tensor:
    if not bool(torch.isfinite(tensor).all()):
        raise FederationError(
            "the aggregate holds numbers that are not finite", field="tensor", value=name
        )
    return tensor


def _square(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor)) ** 2
