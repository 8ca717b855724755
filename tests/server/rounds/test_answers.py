"""What robots answer: good updates lie on the disk, bad ones cost their reply, and the reason is
told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from torch import Tensor

from agent.federation.wire import (
    ARRAYS,
    DECLINED,
    FAILED,
    FINISHED,
    METRICS,
    RUNNING,
)
from robots.errors import FederationError
from server.base import Base
from server.nodes import write_node_names
from server.rounds.closing import check_enough
from server.rounds.measuring import Measuring
from server.rounds.progress import DONE, OPEN, OUT, SAME, Progress, Seat
from server.rounds.replies import Replies
from server.rounds.spec import RoundSpec
from tests.server.rounds.answers import Round, asked, first, said, update


@pytest.fixture
def begun(tmp_path: Path, base: Base) -> Round:
    return Round(tmp_path, base)


@pytest.mark.parametrize("encoding", ["fp32", "int8"])
def test_a_good_update_lies_on_the_disk_and_the_robot_hears_of_it(
    tmp_path: Path, base: Base, encoding: str
) -> None:
    begun = Round(tmp_path, base, encoding=encoding)

    begun.hear("7", update(begun, by=0.25, samples=30, report={"episodes": 4, "anything": "else"}))

    (stored,) = begun.updates
    assert (stored.robot, stored.samples, stored.encoding) == ("left", 30, encoding)
    for name, start in begun.start.items():
        assert torch.allclose(stored.delta(name, begun.start), torch.full_like(start, 0.25))
    kind, data = begun.last
    assert (kind, data["robot"], data["samples"], data["episodes"]) == ("reply", "left", 30, 4)
    assert (data["loss_first"], data["node"]) == (1.0, "7")
    assert "anything" not in data
    assert begun.progress.seats["7"].state == DONE
    assert Progress.load(begun.folder).seats["7"] == Seat(robot="left", state=DONE)
    begun.progress.seats["9"] = Seat(robot="left")
    assert begun.told("9").received == (begun.order.job,)
    assert begun.told("8").received == ()


@pytest.mark.parametrize("step", ["_remember", "_emit", "saved"])
def test_killed_once_an_update_lies_on_the_disk_its_robot_is_not_asked_again(
    tmp_path: Path, base: Base, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*args: object, **values: object) -> None:
        raise KeyboardInterrupt

    before = Round(tmp_path, base)
    with monkeypatch.context() as patch:
        if step == "saved":
            patch.setattr(before.progress, "save", killed)
        else:
            patch.setattr(before.training, step, killed)
        with pytest.raises(KeyboardInterrupt):
            before.hear("7", update(before))

    for _ in range(2):
        again = Round(tmp_path, base)
        again.training.go_on()

    assert (again.progress.seats["7"].robot, again.progress.seats["7"].state) == ("left", DONE)
    assert again.progress.open_nodes() == {"8"}
    assert again.told("7").received == (again.order.job,)
    assert [event.kind for event in again.events] == ["reply"]


def poison(value: float) -> Callable[[dict[str, Tensor]], None]:
    def change(wire: dict[str, Tensor]) -> None:
        wire[sorted(wire)[0]].view(-1)[0] = value

    return change


def forget(wire: dict[str, Tensor]) -> None:
    del wire[sorted(wire)[0]]


def stretch(wire: dict[str, Tensor]) -> None:
    wire[sorted(wire)[0]] = torch.zeros(3, 3, 3)


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        ({"change": poison(float("nan"))}, "not finite"),
        ({"change": poison(float("inf"))}, "not finite"),
        ({"change": forget}, "is missing"),
        ({"change": stretch}, "has shape (3, 3, 3)"),
        ({"change": lambda wire: wire.update({"vlm.c": torch.zeros(1)})}, "is unexpected"),
        ({"samples": 0}, "num-examples=0: isn't a count"),
        ({"samples": -5}, "num-examples=-5: isn't a count"),
        ({"samples": 10**12}, "isn't a count"),
        ({"samples": 1.5}, "isn't a count"),
        ({"loss": float("nan")}, "loss-first=nan: isn't a finite number"),
        ({"loss": 1e308}, "loss-first=1e+308: isn't a finite number up to 1e+12"),
        (
            {"metrics": {"held-out-error": -1e13}},
            "held-out-error=-10000000000000.0: isn't a finite",
        ),
        ({"update_digest": "sha256:other"}, "aren't those that the robot says it sent"),
        ({"start_digest": "sha256:other"}, "isn't what the job starts from"),
    ],
)
def test_a_bad_update_costs_that_reply_and_the_reason_is_told(
    begun: Round, spoiled: dict[str, Any], reason: str
) -> None:
    begun.hear("7", update(begun, robot="evil", **spoiled))
    begun.hear("8", update(begun))

    assert [stored.robot for stored in begun.updates] == ["left"]
    (dropped,) = [event.data for event in begun.events if event.kind == "dropped"]
    assert reason in dropped["reason"]
    assert (dropped["robot"], dropped["node"]) == ("evil", "7")
    assert begun.progress.seats["7"].state == OUT
    with pytest.raises(FederationError, match="1 of 2 robots gave an update in round 2: evil: "):
        check_enough(begun.folder, begun.progress, RoundSpec(min_robots=2))


def test_what_a_robot_says_cannot_stand_for_what_the_server_knows(begun: Round) -> None:
    lies = dict.fromkeys(
        ("kind", "self", "robot", "node", "job", "samples", "norm", "update-digest", "staleness"), 1
    )
    begun.hear("7", update(begun, metrics=lies, report={"error-before": 1e308, **lies}))

    (stored,) = begun.updates
    kind, data = begun.last
    assert (kind, data["robot"], data["node"], data["samples"]) == ("reply", "left", "7", 10)
    assert (data["job"], data["staleness"]) == (begun.order.job, 0)
    assert data["update_digest"] == stored.update_digest
    assert not {"kind", "self", "error_before"} & data.keys()


def test_an_event_may_say_anything(begun: Round) -> None:
    said = {"kind": "of another", "self": "is a name like others"}
    begun.folder.events.emit("reply", **said)

    assert begun.last == ("reply", said)


def test_an_error_that_no_robot_can_have_measured_costs_the_reply(begun: Round) -> None:
    emit = begun.folder.events.emit
    replies = Replies(begun.progress, begun.known, lambda: begun.online, emit)
    measuring = Measuring(begun.folder, begun.progress, begun.order, replies, emit)
    for node, robot, error in (("7", "evil", 1e308), ("8", "left", 0.5)):
        message = said(begun.order, FINISHED, robot)
        metrics = {"num-examples": 2, "held-out-error": error}
        message.content[METRICS] = MetricRecord(metrics)
        measuring.on_reply(node, message)
    measuring.tell()

    assert begun.progress.seats["7"].state == OUT
    kind, data = begun.last
    assert (kind, data["robots"], data["error"]) == ("evaluated", 1, 0.5)


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def shaped(size: int) -> bytes:
    return npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({size},), }}\n")


@pytest.mark.parametrize(
    "data",
    [b"\x80\x04 a pickle, say", b"PK\x03\x04", npy("(("), shaped(10**30), shaped(10**15)],
)
def test_arrays_that_are_no_npy_are_refused(begun: Round, data: bytes) -> None:
    message = update(begun)
    record: ArrayRecord = message.content[ARRAYS]
    record[first(begun)].data = data

    begun.hear("7", message)

    assert "the array can't be read" in begun.last[1]["reason"]


def test_what_is_no_message_costs_a_reply(begun: Round) -> None:
    begun.hear("7", FederationError("can't be read", field="reply"))
    other = Message(content=RecordDict(), reply_to=asked())
    other.__dict__["_content"] = ConfigRecord()  # Flower doesn't look what it is.
    begun.hear("7", other)

    reasons = [event.data["reason"] for event in begun.events]
    assert reasons == ["reply: can't be read", "reply: holds no records"]
    assert begun.progress.seats["7"].bad == 2


def test_the_name_of_a_job_that_was_never_ordered_reaches_no_path(begun: Round) -> None:
    begun.progress.seats["9"] = Seat()
    begun.hear("9", update(begun, robot="third"))  # There is a folder of updates now.
    begun.hear("7", said(begun.order, FINISHED, job="a" * 500))
    begun.hear("8", said(begun.order, FINISHED, "right", job="/../../../../etc/passwd\0"))

    reasons = [event.data["reason"] for event in begun.events if event.kind == "dropped"]
    assert ["was never ordered" in reason for reason in reasons] == [True, True]


def test_a_reason_is_as_long_as_somebody_may_read(begun: Round) -> None:
    begun.hear("7", update(begun, change=lambda wire: wire.update({"x" * 10**6: torch.zeros(1)})))

    assert len(begun.last[1]["reason"]) < 1100


def test_whoever_sends_nonsense_is_asked_again_but_not_for_ever(begun: Round) -> None:
    for count in range(5):
        assert begun.progress.seats["7"].state == OPEN, count
        begun.hear("7", Message(content=RecordDict(), reply_to=asked()))

    assert begun.last[1] == {"reason": "answer: is missing", "node": "7"}
    assert begun.progress.seats["7"].state == OUT


@pytest.mark.parametrize(
    "robot", ["../../etc/passwd", "", "left/../right", "a" * 100, "left+0001-001-train-abc"]
)
def test_a_name_that_could_be_a_path_is_none(begun: Round, robot: str) -> None:
    begun.hear("7", update(begun, robot=robot))

    assert begun.updates == []
    assert "answer.robot" in begun.last[1]["reason"]


def test_one_robot_answers_from_one_node(begun: Round) -> None:
    begun.hear("7", update(begun, by=1.0))
    begun.hear("8", update(begun, by=100.0))

    (stored,) = begun.updates
    assert stored.node == "7"
    assert "another node answers by this name" in begun.last[1]["reason"]


def test_a_robot_answers_by_the_name_that_its_key_is_registered_for(begun: Round) -> None:
    write_node_names(begun.folder.server.node_names, {7: "left", 8: "right"})
    begun.hear("8", update(begun, robot="left"))

    assert begun.updates == []
    assert "the node has the key of right" in begun.last[1]["reason"]


def test_a_robot_that_registered_anew_takes_its_seat_along(begun: Round) -> None:
    begun.hear("7", said(begun.order, RUNNING, step=3, steps=9))
    begun.online = frozenset({"8"})
    begun.hear("8", update(begun))
    assert (begun.progress.seats["7"].state, begun.progress.seats["8"].state) == (SAME, DONE)

    begun.progress.seats["9"] = Seat()
    begun.online = frozenset({"9"})
    begun.hear("9", said(begun.order, RUNNING))
    assert begun.progress.seats["9"].state == SAME, "what it gave is there"


def test_how_far_a_robot_is_is_told_ten_times_at_most(begun: Round) -> None:
    for step in range(200):
        begun.hear("7", said(begun.order, RUNNING, step=step, steps=200))

    assert [e.data["step"] for e in begun.events] == list(range(0, 200, 20))


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("busy: the arm works", OPEN),
        ("hot: 83 degrees", OPEN),
        ("another job: 0001-001-train-0123456789ab is under way", OPEN),
        ("too few new episodes: 0 of 3", OUT),
        ("opted out: --training.opt_out", OUT),
        ("low disk: 12 MB", OUT),
    ],
)
def test_a_reason_that_passes_is_asked_about_again(begun: Round, reason: str, state: str) -> None:
    for _ in range(3):
        begun.hear("7", said(begun.order, DECLINED, reason=reason))

    assert begun.progress.seats["7"].state == state
    (event,) = begun.events
    assert (event.kind, event.data["reason"]) == ("declined", reason)
    assert event.data["final"] == (state == OUT)


def test_what_flower_says_in_place_of_a_robot_ends_nothing(begun: Round) -> None:
    for _ in range(10):
        begun.hear("7", Message(Error(1, "node unavailable"), reply_to=asked()))

    assert begun.progress.seats["7"].state == OPEN
    assert [event.kind for event in begun.events] == ["unanswered"]


def test_a_job_that_failed_is_out_with_its_reason(begun: Round) -> None:
    begun.hear("7", said(begun.order, FAILED, reason="no episode opens"))
    begun.hear("8", said(begun.order, FAILED, "right", job="", reason="order.work: is unknown"))

    assert [e.data["reason"] for e in begun.events] == [
        "no episode opens", "order.work: is unknown",
    ]  # fmt: skip
    assert {seat.state for seat in begun.progress.seats.values()} == {OUT}
