"""The strategy: a weighted mean of good replies, bad ones dropped with a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from torch import Tensor

from agent.policy import weights
from agent.training.arrays import from_record, to_record
from robots.errors import FederationError
from server.rounds.spec import RoundSpec
from server.rounds.strategy import TrainablePartFedAvg

REFERENCE = {"expert.a": torch.zeros(2, 3), "expert.b": torch.zeros(4)}
BASE = "sha256:base"

# Flower stamps messages with the run and the node that its processes belong to.
TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


class Grid:
    """Nodes and nothing else."""

    def __init__(self, nodes: list[int]) -> None:
        self.nodes = nodes

    def get_node_ids(self) -> list[int]:
        return self.nodes


def make(min_robots: int = 1, **spec: Any) -> tuple[TrainablePartFedAvg, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    strategy = TrainablePartFedAvg(
        spec=RoundSpec(min_robots=min_robots, wait_s=0, **spec),
        reference=REFERENCE,
        base_digest=BASE,
        round_id=7,
        emit=lambda kind, **data: events.append({"kind": kind, **data}),
    )
    return strategy, events


def tensors(value: float) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(int(value * 10))
    return {k: torch.randn(v.shape, generator=generator) for k, v in REFERENCE.items()}


def asked(node: int) -> Message:
    message = Message(content=RecordDict(), message_type="train", dst_node_id=node)
    message.metadata.__dict__["_message_id"] = f"to-{node}"
    return message


def reply(
    node: int,
    arrays: dict[str, Tensor],
    *,
    samples: Any = 10,
    loss: float = 1.0,
    digest: str | None = None,
    report: dict[str, Any] | None = None,
) -> Message:
    content = RecordDict(
        {
            "arrays": to_record(arrays),
            "metrics": MetricRecord(
                {"num-examples": samples, "loss-first": loss, "loss-last": loss / 2}
            ),
            "report": ConfigRecord(
                {
                    "robot": f"robot{node}",
                    "update-digest": digest or weights.digest(arrays),
                    **(report or {}),
                }
            ),
        }
    )
    return Message(content=content, reply_to=asked(node))


def test_the_average_is_weighted_by_training_frames() -> None:
    strategy, events = make(min_robots=2)
    one, two = tensors(0.1), tensors(0.2)

    arrays, metrics = strategy.aggregate_train(
        1, [reply(1, one, samples=300, loss=2.0), reply(2, two, samples=100, loss=1.0)]
    )

    assert arrays is not None
    assert metrics is not None
    averaged = from_record(arrays)
    for name in REFERENCE:
        expected = (one[name].double() * 300 + two[name].double() * 100) / 400
        assert averaged[name].dtype == torch.float32
        assert torch.allclose(averaged[name].double(), expected, atol=1e-7, rtol=1e-6)
    assert metrics["loss-first"] == pytest.approx(1.75)
    assert [e["kind"] for e in events] == ["reply", "reply", "aggregated"]
    assert events[0]["robot"] == "robot1"
    assert events[0]["update_digest"] == weights.digest(one)
    assert events[0]["bytes_up"] > sum(t.numel() * 4 for t in one.values())
    assert strategy.participants[1]["samples"] == 100


def changed(**change: Tensor) -> dict[str, Tensor]:
    return {**tensors(0.3), **change}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (reply(9, {"expert.a": torch.zeros(2, 3)}), "tensor=expert.b: is missing"),
        (reply(9, changed(**{"vlm.c": torch.zeros(1)})), "tensor=vlm.c: is unexpected"),
        (reply(9, changed(**{"expert.b": torch.zeros(5)})), "shape (5,), expected (4,)"),
        (
            reply(9, changed(**{"expert.b": torch.tensor([0.0, float("nan"), 0, 0])})),
            "not finite",
        ),
        (reply(9, tensors(0.3), samples=0), "num-examples=0: isn't a count"),
        (reply(9, tensors(0.3), samples=-5), "num-examples=-5: isn't a count"),
        (reply(9, tensors(0.3), samples=10**12), "isn't a count"),
        (reply(9, tensors(0.3), samples=1.5), "isn't a count"),
        (reply(9, tensors(0.3), loss=float("nan")), "loss-first=nan: isn't finite"),
        (reply(9, tensors(0.3), digest="sha256:other"), "aren't those that the robot says"),
        (Message(Error(1, "robot9: no episodes"), reply_to=asked(9)), "robot9: no episodes"),
        (Message(content=RecordDict(), reply_to=asked(9)), "one record of arrays"),
    ],
)
def test_a_bad_reply_is_dropped_with_its_reason_and_the_others_count(
    bad: Message, reason: str
) -> None:
    strategy, events = make()
    good = tensors(0.1)

    arrays, _ = strategy.aggregate_train(1, [bad, reply(1, good)])

    assert arrays is not None
    averaged = from_record(arrays)
    assert all(torch.equal(averaged[name], good[name]) for name in REFERENCE)
    (dropped,) = [e for e in events if e["kind"] == "dropped"]
    assert reason in dropped["reason"]
    assert dropped["node"] == "9"
    assert [p["robot"] for p in strategy.participants] == ["robot1"]


def test_arrays_that_are_no_npy_are_dropped() -> None:
    strategy, events = make()
    bad = reply(9, tensors(0.3))
    record: ArrayRecord = bad.content["arrays"]
    record["expert.a"].data = b"\x80\x04 a pickle, say"

    strategy.aggregate_train(1, [bad, reply(1, tensors(0.1))])

    assert "expert.a: the array can't be read" in events[0]["reason"]


def test_too_few_good_replies_end_the_run_with_every_reason() -> None:
    strategy, _ = make(min_robots=2)
    declined = Message(Error(1, "robot2: 0 episodes are too few"), reply_to=asked(2))

    with pytest.raises(FederationError, match=r"1 of 2 robots .* robot2: 0 episodes are too few"):
        strategy.aggregate_train(1, [reply(1, tensors(0.1)), declined])


def test_too_few_robots_end_the_run_after_the_wait() -> None:
    strategy, events = make(min_robots=3)

    with pytest.raises(FederationError, match=r"2 of 3 robots were there within 0 s"):
        strategy.configure_train(1, to_record(REFERENCE), ConfigRecord(), Grid([4, 5]))
    assert events == [{"kind": "waiting", "robots": 2, "needed": 3}]


def test_each_robot_is_told_what_to_do_and_which_base_is_meant() -> None:
    strategy, _ = make()

    messages = list(strategy.configure_train(2, to_record(REFERENCE), ConfigRecord(), Grid([4, 5])))

    assert [m.metadata.dst_node_id for m in messages] == [4, 5]
    config = messages[0].content["config"]
    assert config["base-digest"] == BASE
    assert (config["round-id"], config["server-round"]) == (7, 2)
    assert config["steps"] == 100
    # The second round of a run takes the frames in another order than the first.
    assert config["seed"] == 1


def test_what_a_robot_says_of_itself_is_bounded() -> None:
    strategy, _ = make()
    report = {"robot": "r" * 10_000, "error-before": float("nan"), "anything": "else"}

    strategy.aggregate_train(1, [reply(1, tensors(0.1), report=report)])

    (participant,) = strategy.participants
    assert participant["robot"] == "r" * 100
    assert "error_before" not in participant
    assert "anything" not in participant


def test_the_held_out_error_of_the_average_is_weighted_by_held_out_episodes() -> None:
    strategy, events = make(evaluate=True)

    def measured(node: int, error: float, episodes: int) -> Message:
        metrics = MetricRecord({"num-examples": episodes, "held-out-error": error})
        return Message(content=RecordDict({"metrics": metrics}), reply_to=asked(node))

    metrics = strategy.aggregate_evaluate(
        1, [measured(1, 0.2, 3), measured(2, 0.4, 1), measured(3, float("inf"), 5)]
    )

    assert metrics is not None
    assert metrics["held-out-error"] == pytest.approx(0.25)
    assert [e["kind"] for e in events] == ["dropped", "evaluated"]
    assert strategy.aggregate_evaluate(1, []) is None


def test_fp32_travels_bit_for_bit() -> None:
    values = {"x": torch.from_numpy(np.array([1e-40, -0.0, 3.4e38], np.float32))}

    assert weights.digest(from_record(to_record(values))) == weights.digest(values)
