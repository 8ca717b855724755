"""The ClientApp: what a SuperNode runs when the server asks this robot to train or to measure.

It runs in a process of its own, niced, beside the arm's. It trusts nothing in a message: the work
is bounded by :class:`TrainConfig`, the frozen part that the server means must be the robot's own,
and each tensor is checked before it is used. What it can't or won't do it declines with a reason,
as an error reply: Flower's strategies leave those out of the average.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from flwr.app import ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode

from agent.training.config import TrainConfig
from agent.training.home import Home
from robots.errors import ArmadaError

if TYPE_CHECKING:
    from agent.training.train import TrainResult

NICENESS = 10
_PROGRESS_S = 0.5

log = logging.getLogger(__name__)
app = ClientApp()


@app.train()  # type: ignore[untyped-decorator]
def train(message: Message, context: Context) -> Message:
    """Train on the robot's own episodes and reply with the trainable tensors."""
    os.nice(NICENESS)
    home = Home.of(context.node_config)
    try:
        return _train(message, home)
    except ArmadaError as error:
        return _decline(message, home, error)


@app.evaluate()  # type: ignore[untyped-decorator]
def evaluate(message: Message, context: Context) -> Message:
    """Measure the received tensors on the robot's held-out episodes."""
    os.nice(NICENESS)
    home = Home.of(context.node_config)
    try:
        return _evaluate(message, home)
    except ArmadaError as error:
        return _decline(message, home, error)


def _train(message: Message, home: Home) -> Message:
    from agent.data.used import note_trained
    from agent.policy import weights
    from agent.training.arrays import from_record, to_record
    from agent.training.train import train as train_at_home

    started = time.time()
    request = message.content["config"]
    config = TrainConfig.from_dict(request)
    policy = home.policy(str(request["base-digest"]))
    received = from_record(message.content["arrays"])
    result = train_at_home(
        policy_path=policy.path,
        processors=home.state.processors,
        dataset_root=home.dataset_root,
        config=config,
        received=received,
        rename_map=home.rename_map,
        device=home.device,
        threads=home.threads,
        progress=_progress(home),
    )
    digest = weights.digest(result.trainable)
    report = _report(home, result, digest)
    record = {
        **report,
        "samples": result.samples,
        "loss-first": result.loss_first,
        "loss-last": result.loss_last,
        "losses": [round(loss, 5) for loss in result.losses],
        "round-id": request["round-id"],
        "server-round": request["server-round"],
        "base-digest": request["base-digest"],
        "received-digest": weights.digest(received),
        "config": config.to_dict(),
        "time": started,
    }
    note_trained(home.dataset_root, result.trained_on)
    home.write("last_train.json", record)
    arrays = to_record(result.trainable)
    metrics = MetricRecord(
        {
            "num-examples": result.samples,
            "loss-first": result.loss_first,
            "loss-last": result.loss_last,
        }
    )
    content = {"arrays": arrays, "metrics": metrics, "report": ConfigRecord(report)}
    return Message(content=RecordDict(content), reply_to=message)


def _evaluate(message: Message, home: Home) -> Message:
    from agent.training.arrays import from_record
    from agent.training.measure import measure

    request = message.content["config"]
    policy = home.policy(str(request["base-digest"]))
    error, frames = measure(
        policy_path=policy.path,
        processors=home.state.processors,
        dataset_root=home.dataset_root,
        received=from_record(message.content["arrays"]),
        rename_map=home.rename_map,
        device=home.device,
        threads=home.threads,
    )
    metrics = MetricRecord({"num-examples": frames, "held-out-error": error})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)


def _report(home: Home, result: TrainResult, digest: str) -> dict[str, Any]:
    """What the server may know beside the numbers that it averages; held-out errors only if they
    were measured."""
    report: dict[str, Any] = {
        "robot": home.name,
        "episodes": result.episodes,
        "heldout-episodes": result.heldout_episodes,
        "seconds": result.seconds,
        "update-digest": digest,
    }
    if result.error_before is not None and result.error_after is not None:
        report |= {"error-before": result.error_before, "error-after": result.error_after}
    return report


def _decline(message: Message, home: Home, error: ArmadaError) -> Message:
    reason = f"{home.name}: {error}"
    log.warning("declined: %s", reason)
    home.write("last_decline.json", {"reason": str(error), "time": time.time()})
    code = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    return Message(Error(code=code, reason=reason), reply_to=message)


def _progress(home: Home) -> Any:
    """Leaves the step in a file, twice a second at most, for whoever shows it."""
    last = 0.0

    def write(step: int, steps: int, loss: float) -> None:
        nonlocal last
        if step == steps or time.monotonic() - last > _PROGRESS_S:
            last = time.monotonic()
            home.write("progress.json", {"step": step, "steps": steps, "loss": loss})

    return write
