"""A look at what a robot sent: nothing in it is believed before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from flwr.app import Message, RecordDict
from torch import Tensor

from agent.federation.payload import codec
from agent.federation.wire import ANSWER, ARRAYS, METRICS, REPORT, Answer
from agent.policy import weights
from agent.training.arrays import payload_bytes, take_from_record
from robots.errors import FederationError
from robots.names import check_name

_MAX_SAMPLES = 10**9
_LARGEST = 1e12
"""No loss, error or time of a training comes near; means over all robots stay finite."""
_NUM_EXAMPLES, _HELD_OUT_ERROR = "num-examples", "held-out-error"
_METRICS = ("loss-first", "loss-last", _HELD_OUT_ERROR)
_REPORT = {
    "episodes": int,
    "heldout-episodes": int,
    "left-out-episodes": int,
    "error-before": float,
    "error-after": float,
    "seconds": float,
}
"""What a robot may say of itself. Anything else that it sends, here or as a metric, is left out of
events and manifests."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """A finished training.

    Args:
        wire: As it travelled.
        samples: Frames that it was trained on.
        digest: Of ``wire``.
        report: What goes into events and the manifest.
    """

    wire: dict[str, Tensor]
    samples: int
    digest: str
    report: dict[str, Any]


def read_answer(message: Message) -> Answer:
    """The answer of a reply without error.

    Raises:
        ArmadaError: it isn't one.
    """
    content: object = message.content
    if not isinstance(content, RecordDict):
        # Flower makes a message of whatever record a sender puts in the place of this one.
        raise FederationError("holds no records", field="reply")
    record = content.config_records.get(ANSWER)
    if record is None:
        raise FederationError("is missing", field=ANSWER)
    answer = Answer.from_record(record)
    check_name("answer.robot", answer.robot)
    return answer


def read_update(
    content: RecordDict,
    answer: Answer,
    *,
    start: Mapping[str, Tensor],
    start_digest: str,
    encoding: str,
) -> Update:
    """The update of a finished job; its arrays are taken out of ``content``.

    Args:
        content: Of the reply.
        answer: What it says of the job.
        start: What the job started from.
        start_digest: Of it.
        encoding: How it was to travel.

    Raises:
        ModelError: names the first tensor that no robot of this fleet could have meant.
        FederationError: anything else that is wrong with it.
    """
    if answer.start_digest != start_digest:
        raise FederationError(
            "isn't what the job starts from", field="answer.start_digest", value=answer.start_digest
        )
    arrays = content.array_records.get(ARRAYS)
    if arrays is None or set(content.array_records) != {ARRAYS}:
        raise FederationError("must hold one record of arrays", field="reply")
    metrics = _metrics(content)
    size = payload_bytes(arrays)
    wire = take_from_record(arrays)
    norm = codec.check_wire(wire, start, encoding)
    digest = weights.digest(wire)
    if digest != answer.update_digest:
        raise FederationError(
            f"the arrays aren't those that the robot says it sent ({answer.update_digest})"
        )
    samples = _samples(content)
    report = {
        **{name.replace("-", "_"): value for name, value in metrics.items()},
        **_known(content),
        "samples": samples,
        "bytes_up": size,
        "norm": norm,
        "update_digest": digest,
    }
    return Update(wire=wire, samples=samples, digest=digest, report=report)


def read_measurement(content: RecordDict) -> tuple[float, int]:
    """Held-out error, and over how many episodes.

    Raises:
        FederationError: they aren't numbers that can be averaged.
    """
    metrics = _metrics(content)
    if _HELD_OUT_ERROR not in metrics:
        raise FederationError("is missing", field=_HELD_OUT_ERROR)
    return float(metrics[_HELD_OUT_ERROR]), _samples(content)


def _samples(content: RecordDict) -> int:
    samples = _record(content).get(_NUM_EXAMPLES)
    if type(samples) is not int or not 0 < samples <= _MAX_SAMPLES:
        raise FederationError("isn't a count", field=_NUM_EXAMPLES, value=str(samples)[:60])
    return samples


def _metrics(content: RecordDict) -> dict[str, int | float]:
    """The metrics that are known, those that are there."""
    record = _record(content)
    metrics: dict[str, int | float] = {}
    for name in _METRICS:
        value = record.get(name)
        if value is None:
            continue
        if not _plausible(value):
            raise FederationError(
                f"isn't a finite number up to {_LARGEST:g}", field=name, value=str(value)[:60]
            )
        metrics[name] = value
    return metrics


def _record(content: RecordDict) -> Mapping[str, Any]:
    record: Mapping[str, Any] | None = content.metric_records.get(METRICS)
    if record is None:
        raise FederationError("is missing", field=METRICS)
    return record


def _plausible(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= _LARGEST


def _known(content: RecordDict) -> dict[str, Any]:
    """The entries that a report may have, of the right type and plausible."""
    record: Mapping[str, Any] = content.config_records.get(REPORT) or {}
    known: dict[str, Any] = {}
    for name, kind in _REPORT.items():
        value = record.get(name)
        if type(value) is kind and _plausible(value):
            known[name.replace("-", "_")] = value
    return known
