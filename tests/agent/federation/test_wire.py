"""What the server orders and a robot answers: typed, bounded, and the same job each time."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from agent.federation.payload.spec import TrainsConfig
from agent.federation.wire import Answer, Order
from agent.training.config import TrainConfig
from robots.errors import ArmadaError

ORDER = Order(
    work="train",
    round_id=7,
    server_round=2,
    base_digest="sha256:aa",
    start_digest="sha256:bb",
    start_version=3,
    trains=TrainsConfig(kind="lora", rank=8),
    encoding="int8",
    train=TrainConfig(steps=5),
    received=("0006-001-train-0123456789ab",),
    abandoned=("0005-001-train-0123456789ab",),
)
ANSWER = Answer(job=ORDER.job, robot="left", state="running", step=3, steps=5)


def test_an_order_arrives_as_it_was_sent() -> None:
    assert Order.from_record(ORDER.to_record()) == ORDER


def test_an_answer_arrives_as_it_was_sent() -> None:
    assert Answer.from_record(ANSWER.to_record()) == ANSWER


def test_the_name_of_a_job_does_not_change_when_it_is_asked_for_again() -> None:
    again = dataclasses.replace(ORDER, received=(), abandoned=(), late_wanted=False)
    assert again.job == ORDER.job


@pytest.mark.parametrize(
    "change",
    [{"server_round": 3}, {"start_digest": "sha256:cc"}, {"encoding": "fp32"}],
)
def test_another_start_or_another_configuration_is_another_job(change: dict[str, Any]) -> None:
    assert dataclasses.replace(ORDER, **change).job != ORDER.job


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("work", "execute"),
        ("encoding", "pickle"),
        ("server_round", -1),
        ("server_round", "2"),
        ("start_digest", "x" * 501),
        ("received", "0006"),
        ("train", '{"steps": 5}'),
        ("trains", '{"kind": "lora", "code": 1}'),
        ("trains", "[]"),
        ("shell", "rm"),
    ],
)
def test_an_order_beyond_its_bounds_is_refused(field: str, value: Any) -> None:
    record = {**ORDER.to_record(), field: value}
    with pytest.raises(ArmadaError, match=field):
        Order.from_record(record)


def test_an_order_that_lacks_a_field_is_refused() -> None:
    record = dict(ORDER.to_record())
    del record["start_digest"]
    with pytest.raises(ArmadaError, match="start_digest"):
        Order.from_record(record)


def test_an_answer_in_no_known_state_is_refused() -> None:
    with pytest.raises(ArmadaError, match="state"):
        Answer.from_record({**ANSWER.to_record(), "state": "perhaps"})
