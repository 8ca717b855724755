"""Rounds on a real SuperLink: what they survive, and what comes of them."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from agent.training.config import TrainConfig
from server.rounds.folder import RoundFolder, read_json
from server.rounds.record import RoundBusyError
from server.rounds.spec import RoundSpec
from tests.helpers import wait_until
from tests.server.rounds.conftest import ROBOTS, Link

# Each message starts a process, and each run one more: on a loaded host they take a minute each.
pytestmark = pytest.mark.timeout(900)

MEAN = (1.0 * 40 - 0.5 * 20) / 60


def spec(**values: object) -> RoundSpec:
    both = {"min_robots": 2, "wait_s": 300.0, "train": TrainConfig(steps=10)}
    return RoundSpec(**{**both, **values})  # type: ignore[arg-type]


def start(link: Link, **values: object) -> int:
    """Start a round with nothing left over of the one before."""
    for record in link.rounds.all():
        if not record.over:  # Of a test that failed.
            link.rounds.cancel(record.id, "the next test")
    for robot in ROBOTS:
        link.behave(robot)
    return link.rounds.start(spec(**values)).id


def kinds(link: Link, number: int) -> list[str]:
    quiet = ("waiting", "progress", "unanswered")
    return [event.kind for event in link.events(number) if event.kind not in quiet]


def serverapp(link: Link, number: int) -> int:
    """Process id of the ServerApp that works on a round."""
    return int(RoundFolder.of(link.config.state.rounds, number).lock.read_text().split()[1])


def moved(link: Link, version: int) -> float:
    """How far a release is from the one before, the same everywhere."""
    before, after = (link.releases.trainable(v) for v in (version - 1, version))
    steps = torch.cat([(after[name] - before[name]).reshape(-1) for name in before])
    # fp32: a large weight moves by what is left of its mantissa.
    assert float(steps.max() - steps.min()) < 1e-3
    return float(steps.mean())


def released(link: Link, number: int) -> int:
    """The release of a round that makes one."""
    version: int = link.wait_for(number, "released").data["version"]
    return version


def jobs(link: Link, robot: str, number: int, server_round: int) -> list[str]:
    """What a robot was asked to train, each time that it was asked."""
    wanted = f"{number:04d}-{server_round:03d}-train"
    return [heard["job"] for heard in link.heard(robot) if wanted in heard["job"]]


@pytest.fixture(scope="module")
def first(link: Link) -> int:
    number = start(link, evaluate=True, by="ada")
    link.wait_for(number, "finished")
    return number


def answered_s(link: Link, number: int) -> float:
    """How long it took until both robots had given their updates."""
    (asked,) = (event for event in link.events(number) if event.kind == "asked")
    return [event.time for event in link.events(number) if event.kind == "reply"][-1] - asked.time


def test_both_robots_train_and_the_release_is_their_weighted_mean(link: Link, first: int) -> None:
    number, version = first, released(link, first)
    assert kinds(link, number) == [
        "started", "asked", "reply", "reply", "aggregated", "released",
        "measured", "measured", "evaluated", "finished",
    ]  # fmt: skip
    assert moved(link, version) == pytest.approx(MEAN, abs=1e-4)
    manifest = link.releases.manifest(version)
    assert [p["robot"] for p in manifest["participants"]] == ["left", "right"]
    assert (manifest["samples"], manifest["round"], manifest["server_round"]) == (60, number, 1)
    assert manifest["metrics"]["loss-first"] == 2.0
    evaluated = link.wait_for(number, "evaluated").data
    assert (evaluated["error"], evaluated["episodes"], evaluated["version"]) == (0.25, 2, version)
    folder = RoundFolder.of(link.config.state.rounds, number)
    assert read_json(folder.measured(1))["left"] == {"error": 1.0, "episodes": 1}
    assert link.rounds.get(number).spec.by == "ada"


def test_a_serverapp_that_is_killed_loses_no_update(link: Link) -> None:
    before = link.releases.latest or 0
    number = start(link, rounds=2)
    link.behave("right", hold=True)
    link.wait_for(number, "reply", robot="left")
    link.wait_for(number, "progress", robot="right")
    told = len(jobs(link, "left", number, 1))

    os.kill(serverapp(link, number), signal.SIGKILL)
    link.wait_for(number, "resumed", reason="the ServerApp was killed")
    assert link.rounds.get(number).status == "running"
    link.behave("right")
    link.wait_for(number, "released", version=before + 1)

    assert len(jobs(link, "left", number, 1)) == told, "what is on disk is not asked for again"
    assert len(set(jobs(link, "right", number, 1))) == 1, "the job is the same in the next run"
    link.wait_for(number, "finished", releases=[before + 1, before + 2])
    steps = [moved(link, before + 1), moved(link, before + 2)]
    assert steps == pytest.approx([MEAN, MEAN], abs=1e-4)
    assert kinds(link, number).count("released") == 2
    second = [heard for heard in link.heard("left") if f"{number:04d}-002-train" in heard["job"]]
    assert second[0]["received"], "the robot hears what the server has of it"


def test_a_round_closes_at_its_deadline_and_what_comes_late_is_folded_into_the_next(
    link: Link, first: int
) -> None:
    timeout_s = min(max(30.0, 5 * answered_s(link, first)), 240.0)
    number = start(link, timeout_s=timeout_s, min_robots=1)
    link.behave("right", hold=True)
    version = released(link, number)
    link.wait_for(number, "finished")
    assert [p["robot"] for p in link.releases.manifest(version)["participants"]] == ["left"]
    assert moved(link, version) == pytest.approx(1.0, abs=1e-4)

    following = start(link)
    link.wait_for(following, "finished")

    late = link.wait_for(following, "late").data
    assert (late["robot"], late["staleness"]) == ("right", 1)
    # Twenty frames that lie one release behind count for 20 / sqrt(2).
    weights = {1.0: 40, -0.5: 20 + 20 / 2**0.5}
    mean = sum(step * w for step, w in weights.items()) / sum(weights.values())
    version = released(link, following)
    assert moved(link, version) == pytest.approx(mean, abs=1e-4)
    assert [p["robot"] for p in link.releases.manifest(version)["participants"]] == [
        "left", "right", "right",
    ]  # fmt: skip


def test_who_is_busy_is_asked_again_and_who_declines_for_good_is_not(link: Link) -> None:
    number = start(link)
    link.behave("left", decline="busy: the arm works")
    link.behave("right", decline="too few new episodes: 0 of 3 are new")
    link.wait_for(number, "declined", robot="left", final=False)
    link.wait_for(number, "declined", robot="right", final=True)
    told = len(link.heard("right"))
    link.behave("left")

    wait_until(lambda: link.rounds.get(number).over, timeout_s=300)

    record = link.rounds.get(number)
    assert record.status == "failed"
    assert "1 of 2 robots gave an update" in record.reason
    assert "right: too few new episodes: 0 of 3 are new" in record.reason
    assert len(link.heard("right")) == told


def test_one_runs_another_waits_and_a_cancelled_one_leaves_nothing(link: Link) -> None:
    before = link.releases.latest
    running = start(link)
    for robot in ROBOTS:
        link.behave(robot, hold=True)
    with pytest.raises(RoundBusyError, match=f"round {running} is running"):
        link.rounds.start(spec())
    queued = link.rounds.start(spec(queue=True, by="nightly")).id
    dropped = link.rounds.start(spec(queue=True)).id
    assert link.rounds.get(queued).status == "queued"
    link.rounds.cancel(dropped, "ada")
    for robot in ROBOTS:
        link.wait_for(running, "progress", robot=robot)

    link.rounds.cancel(running, "ada")

    assert (link.rounds.get(running).status, link.rounds.get(running).reason) == (
        "cancelled", "by ada",
    )  # fmt: skip
    for robot in ROBOTS:
        link.behave(robot)
    link.wait_for(queued, "finished")
    assert link.rounds.get(dropped).status == "cancelled"
    assert link.rounds.get(queued).spec.by == "nightly"
    assert link.releases.latest == (before or 0) + 1
    # Nothing of the cancelled one; what the failed one before it had counts.
    late = [event.data for event in link.events(queued) if event.kind == "late"]
    assert [(told["robot"], told["failed_round"]) for told in late] == [("left", running - 1)]
    mean = (1.0 * (40 + 40) - 0.5 * 20) / 100
    assert moved(link, link.releases.latest or 0) == pytest.approx(mean, abs=1e-4)
    with pytest.raises(RoundBusyError, match="is over"):
        link.rounds.cancel(queued, "ada")
