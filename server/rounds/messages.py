"""Rounds as the fleet's gRPC service speaks of them."""

from __future__ import annotations

import json

from agent.proto import fleet_pb2 as pb
from agent.training.config import TrainConfig
from server.aggregation.config import AggregateConfig
from server.events import RoundEvent
from server.rounds.record import RoundRecord
from server.rounds.spec import FOLD, LOCAL, RoundSpec


def spec_of(request: pb.StartRoundRequest) -> RoundSpec:
    """What is asked for; what is empty has its default.

    Raises:
        ConfigError: a value beyond its bounds.
    """
    train = request.train
    return RoundSpec(
        rounds=request.rounds,
        min_robots=request.min_robots,
        wait_s=request.wait_s,
        timeout_s=request.timeout_s,
        evaluate=request.evaluate,
        train=TrainConfig(
            steps=train.steps,
            batch_size=train.batch_size,
            lr=train.lr,
            seed=train.seed,
            proximal_mu=train.proximal_mu,
        ),
        encoding=request.encoding or "fp32",
        fraction=request.fraction or 1.0,
        min_new_episodes=request.min_new_episodes,
        late=request.late or FOLD,
        normaliser=request.normaliser or LOCAL,
        aggregation=AggregateConfig.from_message(request.aggregation),
        queue=request.queue,
        by=request.by,
    )


def request_of(spec: RoundSpec) -> pb.StartRoundRequest:
    """The message that asks for ``spec``."""
    values = spec.to_dict()
    values["train"] = pb.TrainConfig(**values["train"])
    values["aggregation"] = spec.aggregation.to_message()
    return pb.StartRoundRequest(**values)


def round_message(record: RoundRecord) -> pb.Round:
    return pb.Round(
        id=record.id,
        run_id=record.run_id,
        started=record.started,
        status=record.status,
        reason=record.reason,
        request=request_of(record.spec),
        releases=record.releases,
    )


def event_message(event: RoundEvent) -> pb.RoundEvent:
    return pb.RoundEvent(
        sequence=event.sequence,
        time=event.time,
        kind=event.kind,
        data_json=json.dumps(event.data),
    )
