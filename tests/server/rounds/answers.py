"""A round in the middle, and what robots say to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from torch import Tensor

from agent.federation.payload import codec
from agent.federation.wire import (
    ANSWER,
    ARRAYS,
    FINISHED,
    METRICS,
    ORDER,
    REPORT,
    TRAIN,
    Answer,
    Order,
)
from agent.policy import weights
from agent.training.arrays import to_record
from server.aggregation.seen import SeenUpdates
from server.aggregation.stored import StoredUpdate
from server.base import Base
from server.events import RoundEvent
from server.registry.releases import Releases
from server.rounds.asking import Reply
from server.rounds.folder import RoundFolder
from server.rounds.jobs import note_ordered
from server.rounds.progress import Progress, Seat
from server.rounds.replies import Replies
from server.rounds.robots import KnownRobots
from server.rounds.starts import Starts
from server.rounds.training import Training

# Flower stamps messages with the run and the node that its processes belong to.
TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


class Round:
    """The second round of a run, in which nodes 7 and 8 were asked."""

    def __init__(self, root: Path, base: Base, *, number: int = 3, **order: Any) -> None:
        self.releases = Releases(root / "releases")
        origin = self.releases.add_base(base)
        self.folder = RoundFolder.of(root / "rounds", number)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        version = self.releases.latest or 0
        self.start = self.releases.trainable(version)
        digest = weights.digest(self.start)
        self.progress = Progress(
            server_round=2,
            phase="train",
            start_version=version,
            start_digest=digest,
            wanted=2,
            seats={"7": Seat(), "8": Seat()},
        )
        self.order = Order(
            work=TRAIN,
            round_id=number,
            server_round=2,
            base_digest=origin["base_digest"],
            start_digest=digest,
            start_version=version,
            **order,
        )
        note_ordered(self.folder, self.order)
        self.online = frozenset({"7", "8"})
        self.known = KnownRobots(root / "rounds" / "robots.json", self.folder.server.node_names)
        emit = self.folder.events.emit
        replies = Replies(self.progress, self.known, lambda: self.online, emit)
        starts = Starts(self.releases)
        self.training = Training(
            self.folder,
            self.progress,
            self.order,
            starts,
            self.known,
            replies,
            emit,
            SeenUpdates(self.folder.aggregation / "seen.jsonl"),
        )

    def hear(self, node: str, message: Reply) -> None:
        self.training.on_reply(node, message)

    def told(self, node: str) -> Order:
        """What a node is asked now."""
        return Order.from_record(self.training.question(node)[ORDER])

    @property
    def updates(self) -> list[StoredUpdate]:
        return StoredUpdate.read_all(self.folder.updates(2))

    @property
    def events(self) -> list[RoundEvent]:
        return self.folder.events.read()

    @property
    def last(self) -> tuple[str, dict[str, Any]]:
        return self.events[-1].kind, self.events[-1].data


def asked() -> Message:
    message = Message(content=RecordDict(), message_type="train", dst_node_id=7)
    message.metadata.__dict__["_message_id"] = "question"
    return message


def said(order: Order, state: str, robot: str = "left", **values: Any) -> Message:
    answer = Answer(
        **{"job": order.job, "robot": robot, "state": state, "start_digest": order.start_digest}
        | values
    )
    return Message(content=RecordDict({ANSWER: answer.to_record()}), reply_to=asked())


def update(
    round_: Round,
    *,
    robot: str = "left",
    by: float = 1.0,
    change: Callable[[dict[str, Tensor]], None] = lambda wire: None,
    samples: Any = 10,
    loss: Any = 1.0,
    metrics: dict[str, Any] | None = None,
    report: dict[str, Any] | None = None,
    order: Order | None = None,
    **answer: Any,
) -> Message:
    """A finished job's answer, spoiled as the test wants."""
    order = order or round_.order
    wire = codec.encode({k: v + by for k, v in round_.start.items()}, round_.start, order.encoding)
    change(wire)
    message = said(order, FINISHED, robot, **{"update_digest": weights.digest(wire)} | answer)
    usual = {"num-examples": samples, "loss-first": loss, "loss-last": 0.5}
    message.content[ARRAYS] = to_record(wire)
    message.content[METRICS] = MetricRecord(usual | (metrics or {}))
    message.content[REPORT] = ConfigRecord(report or {})
    return message


def first(round_: Round) -> str:
    return sorted(round_.start)[0]
