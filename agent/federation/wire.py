"""What the server orders and what a robot answers, inside Flower's messages.

An order is a job with a name of its own: the server repeats it until the job is finished, and a
robot that hears it twice does it once. No weights travel with an order; it names those to start
from by digest, and a robot that lacks them fetches them from the fleet's server. The message types
are Flower's: ``train`` for training, ``evaluate`` for measuring, ``query`` for statistics.

=========  ================================================================================
record     holds
=========  ================================================================================
order      :class:`Order`
answer     :class:`Answer`
arrays     the update, when an answer is ``finished``: see :mod:`agent.federation.payload`
metrics    ``num-examples`` and whatever else plain Flower strategies average
report     what a robot says of itself beside the numbers; its ``statistics`` when it was asked for
           them: :mod:`agent.federation.payload.statistics` as JSON
=========  ================================================================================

A plain Flower strategy sends ``arrays`` and ``config`` instead of an order; the same ClientApp
answers it at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ConfigRecord

from agent.federation.payload.spec import ENCODINGS, TrainsConfig
from agent.training.config import TrainConfig
from robots.errors import FederationError

ORDER, ANSWER, ARRAYS, METRICS, REPORT = "order", "answer", "arrays", "metrics", "report"

STATISTICS = "statistics"

TRAIN, MEASURE = "train", "measure"
WORK = (TRAIN, MEASURE)

RUNNING, DECLINED, FINISHED, FAILED = "running", "declined", "finished", "failed"
STATES = (RUNNING, DECLINED, FINISHED, FAILED)

BUSY, TOO_FEW, OPTED_OUT, HOT, LOW_DISK, OTHER_BASE, OTHER_JOB = (
    "busy",
    "too few new episodes",
    "opted out",
    "hot",
    "low disk",
    "another base",
    "another job",
)
"""Why a robot declines. ``busy`` and ``hot`` pass: the server asks again."""

_MAX_TEXT = 500


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job for a robot.

    Args:
        work: ``train`` or ``measure`` (the held-out error of the start weights).
        round_id: The operator's round.
        server_round: Which round of it, from 1.
        base_digest: Of the frozen tensors of the fleet's base policy.
        start_digest: Of the trainable tensors to start from, fp32.
        start_version: The release that they are; 0: the base policy's own.
        trains: Which tensors are trained.
        encoding: How the update travels, one of ``ENCODINGS``.
        train: How to train.
        min_new_episodes: Fewest episodes that were not trained on before.
        received: Names of the robot's jobs whose updates the server has: they can be forgotten.
        abandoned: Names of the robot's jobs whose updates nobody wants any more: they can be
            forgotten as if they had never been done.
        late_wanted: Whether the update of an earlier job is still wanted; if not, it is abandoned.
        normaliser: Pooled statistics as JSON, or empty: the robot's own.
    """

    work: str
    round_id: int
    server_round: int
    base_digest: str
    start_digest: str
    start_version: int
    trains: TrainsConfig = field(default_factory=TrainsConfig)
    encoding: str = "fp32"
    train: TrainConfig = field(default_factory=TrainConfig)
    min_new_episodes: int = 0
    received: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
    late_wanted: bool = True
    normaliser: str = ""

    @property
    def job(self) -> str:
        """Name of the job: the same order, however often and in whichever run it is sent, has the
        same name; another configuration or another start has another."""
        what = dataclasses.asdict(self)
        for name in ("received", "abandoned", "late_wanted"):
            del what[name]
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        return f"{self.round_id:04d}-{self.server_round:03d}-{self.work}-{digest[:12]}"

    def to_record(self) -> ConfigRecord:
        values = dataclasses.asdict(self)
        values |= {"received": list(self.received), "abandoned": list(self.abandoned)}
        for name in ("train", "trains"):
            values[name] = json.dumps(values[name], sort_keys=True)
        return ConfigRecord(values)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Order:
        """Check what came; a robot believes nothing else.

        Raises:
            FederationError: a field is missing, unknown, of the wrong type or beyond its bounds.
            ConfigError: so is one of ``train`` or ``trains``.
        """
        values = _typed(cls, record, ORDER)
        values["train"] = TrainConfig.from_dict(_json(record, "train"))
        try:
            values["trains"] = TrainsConfig(**_json(record, "trains"))
        except TypeError as error:
            raise _wrong("order.trains", record.get("trains"), str(error)) from error
        order = cls(**values)
        for name, known in (("work", WORK), ("encoding", ENCODINGS)):
            if getattr(order, name) not in known:
                raise _wrong(f"order.{name}", getattr(order, name), f"one of {', '.join(known)}")
        for name in ("round_id", "server_round", "start_version", "min_new_episodes"):
            if not 0 <= getattr(order, name) < 2**31:
                raise _wrong(f"order.{name}", getattr(order, name), "a count")
        return order


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a job stands.

    Args:
        job: Which. It may be an earlier one than was ordered: a late update.
        robot: The robot's name.
        state: One of ``STATES``.
        reason: Why it was declined or failed: first one of the words above, then what is to be
            said of it (``busy: the arm works``).
        step: Optimiser steps done.
        steps: Of how many.
        start_digest: What the update started from.
        update_digest: ``weights.digest`` of the arrays as they travel, when finished.
    """

    job: str
    robot: str
    state: str
    reason: str = ""
    step: int = 0
    steps: int = 0
    start_digest: str = ""
    update_digest: str = ""

    def to_record(self) -> ConfigRecord:
        values = dataclasses.asdict(self)
        return ConfigRecord(values | {"reason": self.reason[:_MAX_TEXT]})

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Answer:
        """Check what came; a server believes nothing else.

        Raises:
            FederationError: a field is missing, unknown, of the wrong type or beyond its bounds.
        """
        answer = cls(**_typed(cls, record, ANSWER))
        if answer.state not in STATES:
            raise _wrong("answer.state", answer.state, f"one of {', '.join(STATES)}")
        return answer


def _typed(kind: type, record: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The fields of a record, each of its type and of bounded length."""
    fields = {f.name: str(f.type) for f in dataclasses.fields(kind)}
    unknown = sorted(record.keys() - fields.keys())
    if unknown:
        raise FederationError("is unknown", field=f"{what}.{unknown[0]}")
    values: dict[str, Any] = {}
    for name, wanted in fields.items():
        if name not in record:
            raise FederationError("is missing", field=f"{what}.{name}")
        value = record[name]
        if wanted in ("TrainConfig", "TrainsConfig"):
            continue
        if wanted.startswith("tuple"):
            if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
                raise _wrong(f"{what}.{name}", value, "a list of names")
            value = tuple(value)
        elif type(value).__name__ != wanted:
            raise _wrong(f"{what}.{name}", value, wanted)
        if isinstance(value, str) and name != "normaliser" and len(value) > _MAX_TEXT:
            raise _wrong(f"{what}.{name}", value[:60], f"at most {_MAX_TEXT} characters")
        values[name] = value
    return values


def _json(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    try:
        value = json.loads(record[name])
    except (KeyError, TypeError, ValueError) as error:
        raise FederationError("is missing or no JSON", field=f"order.{name}") from error
    if not isinstance(value, dict):
        raise _wrong(f"order.{name}", value, "a JSON object")
    return value


def _wrong(field: str, value: Any, wanted: str) -> FederationError:
    return FederationError(f"must be {wanted}", field=field, value=value)
