"""What is Flower's own of the aggregation, called one tensor at a time.

Its strategies are made to be given all replies at once. They are given one here, which holds the
mean, and their state before it: what they then do is theirs. The attributes that hold the state
(``m_t``, ``v_t``, ``momentum_vector``, ``current_arrays``), the helpers and a message's metadata
are Flower 1.39's; no other file knows them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.app.metadata import Metadata
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi
from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
from flwr.supercore.differential_privacy import compute_stdv

from server.aggregation.config import FEDADAGRAD, FEDADAM, FEDAVGM, FEDYOGI, AggregateConfig

Values = npt.NDArray[np.float64]
_KEY = "tensor"

MOMENTS: dict[str, tuple[str, ...]] = {
    FEDAVGM: ("m",),
    FEDADAM: ("m", "v"),
    FEDYOGI: ("m", "v"),
    FEDADAGRAD: ("v",),
}
"""What each server optimiser remembers of a tensor: momentum, second moment."""


def server_step(
    config: AggregateConfig, start: Values, mean: Values, moments: dict[str, Values], step: int
) -> tuple[Values, dict[str, Values]]:
    """One step of Flower's server optimiser on one tensor.

    Args:
        config: Its strategy is one of ``OPTIMISERS``.
        start: The weights of the round.
        mean: The weighted mean of the robots'.
        moments: What it remembers (see ``MOMENTS``), empty in the first step.
        step: Counted from 1; FedAdam corrects its bias by it.

    Returns:
        The weights that follow, and what is to be remembered.
    """
    strategy = _strategy(config)
    if config.strategy == FEDAVGM:
        strategy.current_arrays = ArrayRecord({_KEY: Array(start)})
        strategy.momentum_vector = [moments["m"]] if moments else None
    else:
        strategy.current_arrays = {_KEY: start}
        # FedAdagrad has no momentum: its m_t is the change itself.
        strategy.m_t = {_KEY: moments["m"]} if "m" in moments else None
        strategy.v_t = {_KEY: moments["v"]} if moments else None
    with _silent():
        arrays, _ = strategy.aggregate_train(step, [_reply(mean)])
    if config.strategy == FEDAVGM:
        vector = strategy.momentum_vector
        # Without momentum Flower keeps none.
        kept = {"m": vector[0] if vector else np.zeros_like(start)}
    else:
        kept = {"m": strategy.m_t[_KEY], "v": strategy.v_t[_KEY]}
    # NumPy makes a scalar of what has no dimension.
    return arrays[_KEY].numpy(), {n: np.asarray(kept[n]) for n in MOMENTS[config.strategy]}


def trimmed_mean(block: npt.NDArray[np.float32], beta: float) -> npt.NDArray[np.float32]:
    """Mean over the first axis without the share ``beta`` at each end."""
    result: npt.NDArray[np.float32] = trim_mean(block, beta)
    return result


def noise_deviation(config: AggregateConfig, robots: int) -> float:
    """Standard deviation of the noise on the mean of ``robots`` updates (arXiv:1710.06963)."""
    return float(compute_stdv(config.dp_noise, config.dp_clip, robots))


def _strategy(config: AggregateConfig) -> FedAvg:
    if config.strategy == FEDAVGM:
        return FedAvgM(
            server_learning_rate=config.parameter("server_learning_rate"),
            server_momentum=config.parameter("server_momentum"),
        )
    step = {"eta": config.parameter("eta"), "tau": config.parameter("tau")}
    if config.strategy == FEDADAGRAD:
        return FedAdagrad(**step)
    kind = {FEDADAM: FedAdam, FEDYOGI: FedYogi}[config.strategy]
    return kind(**step, beta_1=config.parameter("beta_1"), beta_2=config.parameter("beta_2"))


def _reply(mean: Values) -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord({_KEY: Array(mean)}),
            "metrics": MetricRecord({"num-examples": 1}),
        }
    )
    # Of no run and no node: it is never sent.
    metadata = Metadata(
        run_id=0,
        message_id="",
        src_node_id=0,
        dst_node_id=0,
        reply_to_message_id="",
        group_id="",
        created_at=0.0,
        ttl=0.0,
        message_type=MessageType.TRAIN,
    )
    return Message(content=content, metadata=metadata)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Flower says with each tensor that it received one result."""
    logger = logging.getLogger("flwr")

    def nothing(record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)
