"""Messages of plain Flower strategies: weights come, are trained or measured, and go at once.

That is how Flower's own strategies and its simulation ask; the fleet's server orders jobs instead
(:mod:`agent.federation.wire`). Whoever asks, training and measuring are the same. What can't or
won't be done is declined with a reason, as an error reply: Flower's strategies leave those out of
the average.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode

from agent.federation import report
from agent.federation.wire import ARRAYS, METRICS, REPORT
from agent.training.config import TrainConfig
from agent.training.home import Home
from robots.errors import ArmadaError

NICENESS = 10
CONFIG = "config"

_SEEDS = 2**31

log = logging.getLogger(__name__)


def train(message: Message, home: Home) -> Message:
    """Train what came and reply with the trainable tensors in fp32."""
    _be_nice(home)
    try:
        return _train(message, home)
    except ArmadaError as error:
        return decline(message, home, error)


def evaluate(message: Message, home: Home) -> Message:
    """Reply with the error of what came on the held-out episodes, weighted by their number."""
    _be_nice(home)
    try:
        return _evaluate(message, home)
    except ArmadaError as error:
        return decline(message, home, error)


def about(message: Message, home: Home, partitions: int) -> Message:
    """Reply with the name, the episodes, and how many clients there are in all."""
    share = home.share
    said: dict[str, Any] = {"robot": home.name, "partitions": partitions}
    if share is not None:
        said |= {
            "dataset": str(home.dataset_root),
            "episodes": len(share.training),
            "heldout-episodes": len(share.heldout),
        }
    return Message(content=RecordDict({REPORT: ConfigRecord(said)}), reply_to=message)


def _train(message: Message, home: Home) -> Message:
    from agent.data.used import note_trained
    from agent.policy import weights
    from agent.training.arrays import from_record, to_record
    from agent.training.train import train as train_at_home

    started = time.time()
    asked = message.content[CONFIG]
    config = train_config(asked)
    received = from_record(message.content[ARRAYS])
    result = train_at_home(
        policy_path=home.policy_folder(str(asked["base-digest"])),
        processors=home.state.processors,
        dataset_root=home.dataset_root,
        config=config,
        received=received,
        rename_map=home.rename_map,
        device=home.device,
        threads=home.threads,
        share=home.share,
        unclean=home.training.unclean,
    )
    said = report.report(home, result, weights.digest(result.trainable))
    about = {
        "server-round": asked.get("server-round"),
        "base-digest": asked["base-digest"],
        "received-digest": weights.digest(received),
        "config": config.to_dict(),
        "time": started,
    }
    if home.share is None:
        note_trained(home.dataset_root, result.trained_on)
    report.keep(home, result, said, about)
    content = {
        ARRAYS: to_record(result.trainable),
        METRICS: MetricRecord(report.metrics(result)),
        REPORT: ConfigRecord(said),
    }
    return Message(content=RecordDict(content), reply_to=message)


def _evaluate(message: Message, home: Home) -> Message:
    from agent.training.arrays import from_record
    from agent.training.measure import measure

    error, episodes = measure(
        policy_path=home.policy_folder(str(message.content[CONFIG]["base-digest"])),
        processors=home.state.processors,
        dataset_root=home.dataset_root,
        received=from_record(message.content[ARRAYS]),
        rename_map=home.rename_map,
        device=home.device,
        threads=home.threads,
        share=home.share,
        unclean=home.training.unclean,
    )
    metrics = MetricRecord({report.NUM_EXAMPLES: episodes, report.HELD_OUT_ERROR: error})
    return Message(content=RecordDict({METRICS: metrics}), reply_to=message)


def train_config(asked: Mapping[str, Any]) -> TrainConfig:
    """What a strategy asks for: in each round another order of the frames, and FedProx's weight
    under the name that Flower's FedProx gives it.

    Raises:
        ConfigError: a field is missing, of the wrong type or beyond its bounds.
    """
    values = dict(asked)
    if "proximal-mu" in values:
        values["proximal_mu"] = values["proximal-mu"]
    seed = TrainConfig.from_dict(values).seed
    server_round = values.get("server-round")
    if isinstance(server_round, int):
        values["seed"] = (seed + server_round - 1) % _SEEDS
    return TrainConfig.from_dict(values)


def _be_nice(home: Home) -> None:
    """To the arm beside it; a simulated client, whose process does this often, has none."""
    if home.share is None:
        os.nice(NICENESS)


def decline(message: Message, home: Home, error: ArmadaError) -> Message:
    """An error reply, and a record of the reason."""
    reason = f"{home.name}: {error}"
    log.warning("declined: %s", reason)
    home.write("last_decline.json", {"reason": str(error), "time": time.time()})
    code = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    return Message(Error(code=code, reason=reason), reply_to=message)
