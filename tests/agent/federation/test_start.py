"""What a robot lacks to begin a job it fetches, over real gRPC."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.federation.start import find_start
from agent.federation.trainer.statuses import DONE, LATER, NEVER
from agent.federation.trainer.work import run
from agent.fleet import UnreachableError
from agent.policy import weights
from agent.policy.store import ModelStore
from agent.releases import transfer
from agent.releases.manifest import TRAINABLE
from tests.agent.federation.conftest import Robot, result
from tests.agent.releases.conftest import Server, base, server

__all__ = ["base", "server"]


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.Transfer.__init__, "__defaults__", ((),))


def test_the_base_s_own_weights_are_there_already(robot: Robot) -> None:
    job = robot.jobs.add(robot.order())

    start = find_start(robot.home, job)

    assert weights.digest(start.tensors) == job.order.start_digest
    assert start.policy == getattr(ModelStore(robot.state.models).current, "path", None)
    assert not job.start.exists()


def test_weights_that_it_lacks_come_from_where_they_were_cut(robot: Robot, server: Server) -> None:
    manifest = server.train()
    robot.configure({}, server=server.address)
    order = robot.order(start_version=1, start_digest=manifest["trainable_digest"])
    job = robot.jobs.add(order)
    # The second attempt brings nothing: it is given up until later.
    server.service.cuts = [1, 0]

    with pytest.raises(UnreachableError):
        find_start(robot.home, job)
    start = find_start(robot.home, job)
    again = find_start(robot.home, job)

    assert weights.digest(start.tensors) == order.start_digest
    assert weights.digest(again.tensors) == order.start_digest
    files = {name for version, name in server.service.sent if version == 1}
    for name in files:
        assert server.service.bytes(1, name) == manifest["files"][name]["bytes"]


def test_a_robot_with_another_policy_gets_the_fleet_s(
    tmp_path: Path, other_policy: Path, dataset: Path, server: Server
) -> None:
    server.releases.add_base(server.base)
    robot = Robot(tmp_path / "stranger", dataset, server=server.address)
    own = ModelStore(robot.state.models).ensure_current(str(other_policy))
    order = robot.order(
        steps=1,
        base_digest=server.base.base_digest,
        start_digest=server.base.trainable_digest,
    )
    job = robot.jobs.add(order)

    assert run(robot.home, job, checkpoint_s=30.0) == DONE

    assert result(job)["metrics"]["num-examples"] == 48
    # What drives the arm is as it was.
    assert ModelStore(robot.state.models).current == own


def test_a_release_that_is_not_what_was_ordered_is_not_trained_on(
    robot: Robot, server: Server
) -> None:
    server.train()
    robot.configure({}, server=server.address)
    job = robot.jobs.add(robot.order(start_version=1, start_digest="sha256:" + "5" * 64))

    assert run(robot.home, job, checkpoint_s=30.0) == NEVER
    assert "release 1 isn't what was ordered" in job.failed
    assert server.service.bytes(1, TRAINABLE) == 0


def test_a_server_that_is_not_there_is_asked_later(robot: Robot) -> None:
    robot.configure({}, server="127.0.0.1:1")
    job = robot.jobs.add(robot.order(base_digest="sha256:" + "7" * 64))

    assert run(robot.home, job, checkpoint_s=30.0) == LATER
    assert "no fleet server answers" in job.note
    assert not job.over


def test_a_robot_that_knows_no_server_says_what_it_lacks(robot: Robot) -> None:
    job = robot.jobs.add(robot.order(base_digest="sha256:" + "7" * 64))

    assert run(robot.home, job, checkpoint_s=30.0) == NEVER
    assert "lacks the fleet's base policy and knows no server" in job.failed
