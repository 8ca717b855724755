"""What a robot answers to orders, message by message."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from agent.data.used import uses
from agent.federation.clientapp import app
from agent.federation.jobs.job import Job
from agent.federation.payload.codec import check_wire
from agent.federation.payload.statistics import from_json
from agent.federation.trainer.statuses import DONE
from agent.federation.trainer.work import run
from agent.federation.wire import ANSWER, ARRAYS, METRICS, ORDER, REPORT, STATISTICS, Answer, Order
from agent.policy import weights
from agent.policy.load import LoadedPolicy
from agent.recorder.marks import write_marks
from agent.training.arrays import from_record
from tests.agent.federation.conftest import Robot

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


def send(robot: Robot, record: ConfigRecord, *, kind: str = "train") -> RecordDict:
    message = Message(content=RecordDict({ORDER: record}), message_type=kind, dst_node_id=1)
    message.metadata.__dict__["_message_id"] = "asked"
    context = Context(
        run_id=1, node_id=1, node_config=robot.node, state=RecordDict(), run_config={}
    )
    reply: Message = app(message, context)
    assert not reply.has_error()
    return reply.content


def ask(robot: Robot, order: Order) -> Answer:
    kind = "evaluate" if order.work == "measure" else "train"
    return Answer.from_record(send(robot, order.to_record(), kind=kind)[ANSWER])


def job(robot: Robot, order: Order) -> Job:
    found = robot.jobs.find(order.job)
    assert found is not None
    return found


def do(robot: Robot, order: Order) -> None:
    """What the trainer does."""
    assert run(robot.home, job(robot, order), checkpoint_s=30.0) == DONE


def test_an_order_is_kept_and_answered_until_the_update_is_there(
    robot: Robot, loaded: LoadedPolicy
) -> None:
    order = robot.order(steps=2, encoding="int8")

    first = ask(robot, order)
    again = ask(robot, order)
    do(robot, order)
    content = send(robot, order.to_record())

    assert (first.state, first.job, first.robot) == ("running", order.job, "left")
    assert again == first
    answer = Answer.from_record(content[ANSWER])
    assert (answer.state, answer.step, answer.steps) == ("finished", 2, 2)
    wire = from_record(content[ARRAYS])
    assert weights.digest(wire) == answer.update_digest
    assert check_wire(wire, weights.trainable(loaded.policy), "int8") > 0
    assert content[METRICS]["num-examples"] == 48
    assert {"loss-first", "loss-last"} < set(content[METRICS])
    assert content[REPORT]["robot"] == "left"


def test_episodes_count_as_used_when_the_server_has_the_update(robot: Robot) -> None:
    first = robot.order(steps=1)
    ask(robot, first)
    do(robot, first)

    def trained() -> list[int]:
        return [i for i, of in uses(robot.dataset).items() if of.trained is not None]

    assert trained() == []
    second = robot.order(steps=1, server_round=2, received=(first.job,))
    answer = ask(robot, second)

    # The last of three is held out.
    assert trained() == [0, 1]
    assert robot.jobs.find(first.job) is None
    assert (answer.job, answer.state) == (second.job, "running")
    # Said once more, it is nothing new.
    assert ask(robot, second) == answer


def test_a_late_update_is_delivered_before_the_next_job_begins(robot: Robot) -> None:
    late, new = robot.order(steps=1), robot.order(steps=1, server_round=2)
    ask(robot, late)
    do(robot, late)

    answer = ask(robot, new)

    assert (answer.job, answer.state) == (late.job, "finished")
    assert robot.jobs.find(new.job) is None
    assert ask(robot, dataclasses.replace(new, received=(late.job,))).job == new.job


def test_a_late_update_that_nobody_wants_is_abandoned(robot: Robot) -> None:
    late = robot.order(steps=1)
    ask(robot, late)
    do(robot, late)
    new = robot.order(steps=1, server_round=2, late_wanted=False)

    assert ask(robot, new).job == new.job
    assert robot.jobs.find(late.job) is None
    assert all(of.trained is None for of in uses(robot.dataset).values())


def test_a_job_of_another_release_of_the_agent_makes_room_for_the_next(robot: Robot) -> None:
    late, new = robot.order(steps=1), robot.order(steps=1, server_round=2)
    ask(robot, late)
    do(robot, late)
    job(robot, late).write("order", {"order": {"work": "train"}, "time": 1.0})

    assert ask(robot, new).job == new.job
    assert robot.jobs.find(late.job) is None


def test_a_job_of_a_cancelled_round_costs_no_episode(robot: Robot) -> None:
    cancelled = robot.order(steps=1)
    ask(robot, cancelled)
    do(robot, cancelled)
    new = robot.order(steps=1, server_round=2, abandoned=(cancelled.job,))

    assert ask(robot, new).job == new.job
    assert robot.jobs.find(cancelled.job) is None
    assert all(of.trained is None for of in uses(robot.dataset).values())


def test_a_job_that_was_not_begun_makes_room_for_the_next(robot: Robot) -> None:
    old, new = robot.order(), robot.order(server_round=2)
    ask(robot, old)

    assert ask(robot, new).job == new.job
    assert [j.name for j in robot.jobs.list()] == [new.job]


def test_a_job_under_way_is_not_left_for_the_next(robot: Robot) -> None:
    late, new = robot.order(), robot.order(server_round=2)
    ask(robot, late)
    job(robot, late).write("progress", {"step": 1, "steps": 2, "loss": 1.0})

    answer = ask(robot, new)
    measure = ask(robot, robot.order(work="measure"))

    assert (answer.job, answer.state, answer.step) == (late.job, "running", 1)
    assert (measure.state, measure.reason.split(":")[0]) == ("declined", "another job")


def test_measuring_answers_with_the_held_out_error(robot: Robot) -> None:
    order = robot.order(work="measure")
    assert ask(robot, order).state == "running"
    do(robot, order)

    content = send(robot, order.to_record(), kind="evaluate")

    assert content[METRICS]["num-examples"] == 1
    assert content[METRICS]["held-out-error"] > 0
    assert ARRAYS not in content


def test_int8_makes_up_for_what_the_last_update_lost(robot: Robot) -> None:
    first = robot.order(steps=1, encoding="int8")
    ask(robot, first)
    do(robot, first)
    second = robot.order(steps=1, encoding="int8", server_round=2, received=(first.job,))
    assert not (robot.state.residual / "kept.safetensors").exists()
    ask(robot, second)
    assert (robot.state.residual / "kept.safetensors").exists()
    alone = Robot(robot.state.root.with_name("alone"), robot.dataset)
    alone.state.models.rmdir()
    alone.state.models.symlink_to(robot.state.models)
    ask(alone, second)

    do(robot, second)
    do(alone, second)

    ours, theirs = (weights.load(job(r, second).update) for r in (robot, alone))
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("training", "change", "reason"),
    [
        ({"opt_out": True}, {}, "opted out: --training.opt_out"),
        ({}, {"min_new_episodes": 3}, "too few new episodes: 2 of 2 are new, 3 are asked for"),
        ({"min_new_episodes": 9}, {}, "too few new episodes: 2 of 2 are new, 9 are asked for"),
        ({"min_free_gb": 900_000.0}, {}, "low disk: "),
        ({}, {"base_digest": "sha256:" + "0" * 64}, "another base: this robot has no policy"),
    ],
)
def test_what_its_owner_does_not_allow_is_declined(
    robot: Robot, training: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    robot.configure(training)

    answer = ask(robot, robot.order(**change))

    assert answer.state == "declined"
    assert answer.reason.startswith(reason)
    assert robot.jobs.list() == []


def test_what_the_quality_gate_left_out_is_said_and_its_owner_may_want_it(robot: Robot) -> None:
    write_marks(robot.dataset, 0, {"verdict": "REJECTED"})
    write_marks(robot.dataset, 1, {"success": True})
    order = robot.order(min_new_episodes=2)

    assert ask(robot, order).reason == (
        "too few new episodes: 1 of 1 are new, 2 are asked for; "
        "2 more are left out (1 not clean, 1 not judged yet)"
    )
    robot.configure({"unclean": True})
    assert ask(robot, order).state == "running"


def test_opting_out_ends_what_is_under_way(robot: Robot) -> None:
    order = robot.order()
    ask(robot, order)
    robot.configure({"opt_out": True})

    assert ask(robot, order).state == "declined"
    assert robot.jobs.list() == []


def test_a_robot_without_episodes_has_too_few(robot: Robot, tmp_path: Path) -> None:
    order = robot.order()
    robot.node["dataset-root"] = str(tmp_path / "none")

    answer = ask(robot, order)

    assert answer.state == "declined"
    assert answer.reason.startswith("too few new episodes: ")
    assert "isn't a LeRobot data set" in answer.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoding": "zip"}, "order.encoding=zip: must be one of fp32, bf16"),
        ({"code": "import os"}, "order.code: is unknown"),
        ({"train": "{}"}, "train.steps: is missing"),
    ],
)
def test_what_is_no_order_is_answered_with_what_is_wrong(
    robot: Robot, change: dict[str, Any], reason: str
) -> None:
    record = ConfigRecord({**robot.order().to_record(), **change})

    answer = Answer.from_record(send(robot, record)[ANSWER])

    assert answer.state == "failed"
    assert answer.reason.startswith(reason)


def test_a_name_that_is_none_reaches_nothing(robot: Robot) -> None:
    precious = robot.state.training / "processors"
    precious.mkdir(parents=True)

    ask(robot, robot.order(received=("../processors", "/etc", "")))

    assert precious.is_dir()


def test_a_job_that_failed_says_why(robot: Robot) -> None:
    order = robot.order()
    ask(robot, order)
    job(robot, order).write("failed", {"reason": "the loss is nan at step 2"})

    answer = ask(robot, order)

    assert (answer.state, answer.reason) == ("failed", "the loss is nan at step 2")


def test_asked_for_statistics_a_robot_says_what_its_frames_add_up_to(robot: Robot) -> None:
    content = send(robot, ConfigRecord({}), kind="query")

    assert Answer.from_record(content[ANSWER]).state == "finished"
    sums = from_json(str(content[REPORT][STATISTICS]))
    assert sums["action"].count == content[METRICS]["num-examples"] == 48
    assert len(sums["action"].total) == 6


def test_a_robot_that_opted_out_says_nothing_of_its_frames(robot: Robot) -> None:
    robot.configure({"opt_out": True})

    content = send(robot, ConfigRecord({}), kind="query")

    assert Answer.from_record(content[ANSWER]).reason == "opted out: --training.opt_out"
    assert REPORT not in content
