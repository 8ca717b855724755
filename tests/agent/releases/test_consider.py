"""What becomes of a release on a robot, by its own episodes and its owner's wishes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from agent.federation.payload import statistics
from agent.policy.merge import merge
from agent.policy.store import StoredModel
from agent.recorder.marks import write_marks
from agent.releases.consider import consider
from agent.releases.ledger import Pin, PinnedError, ReleaseLedger
from agent.releases.outcome import LATER, OFFERED, REFUSED, TAKEN, WAITS
from agent.releases.owner import ReleasesConfig
from agent.releases.probation import Order
from agent.releases.pull import GivenUpError
from robots.errors import ModelError
from server.base import Base
from tests.agent.releases.conftest import Robot, Server
from tests.datasets import make_dataset


def spoilt(base: Base, seed: int) -> dict[str, Tensor]:
    """Weights that no training would make: their actions are far off."""
    generator = torch.Generator().manual_seed(seed)
    return {k: v + torch.randn(v.shape, generator=generator) for k, v in base.trainable().items()}


def owner(robot: Robot, **wishes: Any) -> None:
    robot.home = dataclasses.replace(robot.home, releases=ReleasesConfig(**wishes))


def judged(robot: Robot, model: StoredModel) -> tuple[int, dict[str, Any]]:
    status = consider(
        robot.home, model, lambda kind, **data: robot.events.append({"event": kind, **data})
    )
    return status, robot.events[-1]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 21 episodes three are held out."""
    return make_dataset(tmp_path_factory.mktemp("many") / "many", episodes=21, frames=8)


@pytest.fixture
def practised(robot: Robot, dataset: Path) -> Robot:
    robot.home = dataclasses.replace(robot.home, dataset_root=dataset)
    return robot


@pytest.fixture
def spoiled(practised: Robot, server: Server, tmp_path: Path) -> Robot:
    """A robot whose current model is bad: any release of the fleet is better."""
    before = practised.store.current
    assert before is not None
    merge(before.path, spoilt(server.base, 0), tmp_path / "spoilt")
    practised.store.promote(practised.store.add(tmp_path / "spoilt", origin="test"))
    return practised


def test_a_better_release_is_taken_and_is_on_probation(server: Server, spoiled: Robot) -> None:
    before = spoiled.store.current
    assert before is not None
    server.train(by=1e-3)
    release = spoiled.puller.pull()

    status, said = judged(spoiled, release)

    assert (status, said["event"], said["verdict"]) == (TAKEN, "release_promoted", "promote")
    assert (said["version"], said["episodes"], said["margin"]) == (1, 3, 0.02)
    assert said["error_candidate"] < said["error_current"]
    assert said["difference"] < said["upper"] < said["margin"]
    assert (spoiled.store.current, spoiled.store.previous) == (release, before)
    order = Order.read(spoiled.home.state.probation)
    assert order is not None
    assert (order.digest, order.version, order.previous) == (release.digest, 1, before.digest)
    # What is current already needs no trial.
    assert judged(spoiled, release) == (TAKEN, spoiled.events[-1])
    assert spoiled.events[-1]["event"] == "release_current"


def test_a_worse_release_is_refused_with_its_numbers(server: Server, practised: Robot) -> None:
    before = practised.store.current
    server.release(spoilt(server.base, 1))

    status, said = judged(practised, practised.puller.pull())

    assert (status, said["event"], said["verdict"]) == (REFUSED, "release_refused", "refuse")
    assert said["difference"] > said["margin"]
    assert "worse on 3 held-out episodes" in said["reason"]
    assert practised.store.current == before
    assert Order.read(practised.home.state.probation) is None


def test_a_release_that_is_too_far_away_is_refused_unmeasured(
    server: Server, spoiled: Robot
) -> None:
    before = spoiled.store.current
    server.train(by=1e-3)
    release = spoiled.puller.pull()

    owner(spoiled, max_norm=0.5)
    status, said = judged(spoiled, release)
    assert (status, said["event"]) == (REFUSED, "release_refused")
    assert said["norm"] > 0.5
    assert "--releases.max_norm=0.5" in said["reason"]
    assert spoiled.store.current == before

    owner(spoiled, max_norm=10.0 * said["norm"])
    assert judged(spoiled, release)[0] == TAKEN


def test_each_episode_that_a_model_is_measured_on_is_a_sign_of_life(
    server: Server, practised: Robot
) -> None:
    server.train()
    alive: list[None] = []
    consider(
        practised.home,
        practised.puller.pull(),
        lambda kind, **data: None,
        alive=lambda: alive.append(None),
    )
    assert len(alive) == 2 * 3


def test_a_robot_that_is_pinned_while_the_gate_runs_stays_on_what_it_has(
    server: Server, practised: Robot
) -> None:
    before = practised.store.current
    assert before is not None
    server.train()
    ledger = ReleaseLedger(practised.home.state.release_ledger)

    with pytest.raises(PinnedError, match=r"the fair.*armada models unpin"):
        consider(
            practised.home,
            practised.puller.pull(),
            lambda kind, **data: None,
            alive=lambda: ledger.set_pin(Pin(before.digest, 0, "the fair")),
        )

    assert practised.store.current == before
    assert Order.read(practised.home.state.probation) is None


def test_what_was_compared_with_a_model_that_is_no_longer_current_is_not_taken(
    server: Server, practised: Robot
) -> None:
    server.train()
    older = practised.puller.pull()
    server.train()
    newer = practised.puller.pull()

    status = consider(
        practised.home,
        older,
        lambda kind, **data: practised.events.append({"event": kind, **data}),
        alive=lambda: practised.store.promote(newer) and None,
    )

    assert (status, practised.events[-1]["event"]) == (LATER, "release_delayed")
    assert "another model became current" in practised.events[-1]["reason"]
    assert practised.store.current == newer
    # A second look compares it with what is current now.
    assert judged(practised, older)[0] in (TAKEN, REFUSED)


def test_episodes_that_the_quality_gate_rejected_do_not_judge_a_release(
    server: Server, practised: Robot, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(practised.home.dataset_root, tmp_path / "some"))
    practised.home = dataclasses.replace(practised.home, dataset_root=root)
    for index in (0, 20):
        write_marks(root, index, {"verdict": "REJECTED"})
    server.release(spoilt(server.base, 1))

    status, said = judged(practised, practised.puller.pull())

    assert (status, said["episodes"], said["left_out_episodes"]) == (REFUSED, 2, 2)


@pytest.mark.parametrize(("few", "status", "event"), [
    ("accept", TAKEN, "release_promoted"),
    ("refuse", REFUSED, "release_refused"),
    ("wait", WAITS, "release_waits"),
])  # fmt: skip
def test_without_held_out_episodes_the_owners_wish_holds(
    server: Server, robot: Robot, tmp_path: Path, few: str, status: int, event: str
) -> None:
    owner(robot, few_episodes=few)
    robot.home = dataclasses.replace(robot.home, dataset_root=tmp_path / "none")
    server.train()
    release = robot.puller.pull()

    got, said = judged(robot, release)

    assert (got, said["event"], said["verdict"]) == (status, event, "too few episodes")
    assert said["reason"] == "there are no held-out episodes"
    assert (robot.store.current == release) == (status == TAKEN)
    assert (robot.store.pending == release) == (status != TAKEN)


def test_an_owner_may_want_to_take_it_by_hand(server: Server, spoiled: Robot) -> None:
    owner(spoiled, auto=False)
    server.train(by=1e-3)
    release = spoiled.puller.pull()
    status, said = judged(spoiled, release)
    assert (status, said["event"], said["verdict"]) == (OFFERED, "release_offered", "promote")
    assert spoiled.store.current != release
    assert spoiled.store.pending == release


def test_one_that_was_rolled_back_is_not_taken_again_by_its_notice(
    server: Server, robot: Robot
) -> None:
    server.train()
    robot.store.promote(robot.puller.pull())
    robot.store.rollback(reason="probation: a test")
    with pytest.raises(GivenUpError, match="release=1: was taken and rolled back before"):
        robot.puller.pull(1, announced=True)
    # Whoever asks for it gets it.
    assert robot.puller.pull(1).digest == server.releases.manifest(1)["digest"]


def pooled_release(server: Server, dataset: Path) -> str:
    """A release of a fleet with one normaliser: the statistics that it says it was trained with."""
    sums = statistics.gather(dataset, [0, 1], {})
    text = json.dumps(statistics.pool([sums]))
    step = {name: tensor + 1e-3 for name, tensor in server.base.trainable().items()}
    server.release(step, normaliser=text)
    return text


@pytest.mark.parametrize("recorded", [True, False])
def test_a_robot_that_has_no_normaliser_takes_the_one_that_the_release_was_trained_with(
    server: Server, practised: Robot, dataset: Path, tmp_path: Path, recorded: bool
) -> None:
    text = pooled_release(server, dataset)
    owner(practised, few_episodes="accept")
    if not recorded:
        practised.home = dataclasses.replace(practised.home, dataset_root=tmp_path / "none")

    judged(practised, practised.puller.pull())

    assert (practised.home.state.processors / "pooled.json").read_text() == text
    # Orders carry the same: it trains with it.
    judged(practised, practised.puller.pull())


def test_a_release_of_another_normaliser_than_the_robots_is_not_taken(
    server: Server, practised: Robot, dataset: Path
) -> None:
    server.train()
    judged(practised, practised.puller.pull())
    before = practised.store.current
    pooled_release(server, dataset)

    with pytest.raises(ModelError, match="is another normaliser than the fleet's"):
        judged(practised, practised.puller.pull())

    assert practised.store.current == before
