"""What a robot says of a training: to the server, and in a record of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.training.home import Home

if TYPE_CHECKING:
    from agent.training.train import TrainResult

NUM_EXAMPLES = "num-examples"
HELD_OUT_ERROR = "held-out-error"


def metrics(result: TrainResult) -> dict[str, int | float]:
    """What plain Flower strategies average; the first is the weight."""
    return {
        NUM_EXAMPLES: result.samples,
        "loss-first": result.loss_first,
        "loss-last": result.loss_last,
    }


def report(home: Home, result: TrainResult, update_digest: str) -> dict[str, Any]:
    """What the server may know beside the numbers that it averages; held-out errors only if they
    were measured."""
    said: dict[str, Any] = {
        "robot": home.name,
        "episodes": result.episodes,
        "heldout-episodes": result.heldout_episodes,
        "left-out-episodes": result.left_out,
        "seconds": result.seconds,
        "update-digest": update_digest,
    }
    if result.error_before is not None and result.error_after is not None:
        said |= {"error-before": result.error_before, "error-after": result.error_after}
    return said


def keep(
    home: Home, result: TrainResult, said: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
    """Leave the record of the last training in ``training/last_train.json``.

    Args:
        home: The robot's.
        result: What came of it.
        said: The report.
        asked: What it was for: round, start, configuration.
    """
    losses = [round(loss, 5) for loss in result.losses]
    record = {**said, **metrics(result), "samples": result.samples, "losses": losses, **asked}
    del record[NUM_EXAMPLES]
    home.write("last_train.json", record)
