"""What a model that is taken is rolled back to, and whether it is on probation."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from agent.paths import StateDir
from agent.policy import weights
from agent.policy.load import LoadedPolicy
from agent.policy.merge import merge
from agent.policy.store import ModelStore, StoredModel
from agent.releases.ledger import Pin, ReleaseLedger
from agent.releases.owner import ReleasesConfig
from agent.releases.probation import Order, Progress
from agent.releases.take import take
from agent.training.home import Home


class Robot:
    """One that started from a policy, and has two releases and a model of its owner's."""

    def __init__(self, folder: Path, policy: Path, loaded: LoadedPolicy) -> None:
        state = StateDir(folder / "robot")
        state.create()
        self.home = Home(name="left", state=state, dataset_root=folder / "none", threads=1)
        self.store = ModelStore(state.models)
        self.start = self.store.promote(self.store.add(policy, origin="a test"))
        models = []
        for number in (1, 2, 3):
            tensors = {k: v + number for k, v in weights.trainable(loaded.policy).items()}
            merge(policy, tensors, folder / str(number))
            origin = {"release": number} if number < 3 else "the owner"
            models.append(self.store.add(folder / str(number), origin=origin))
        self.one, self.two, self.own = models

    def take(self, model: StoredModel) -> Order | None:
        """The order that holds then."""
        take(self.home, model, reason="a test")
        assert self.store.current == model
        return self.order

    @property
    def order(self) -> Order | None:
        return Order.read(self.home.state.probation)

    def ends(self, how: str) -> None:
        assert self.order is not None
        progress = Progress.read(self.home.state.probation_progress, self.order)
        progress.ended = how
        progress.write(self.home.state.probation_progress)


@pytest.fixture
def robot(tmp_path: Path, tiny_policy: Path, loaded: LoadedPolicy) -> Robot:
    return Robot(tmp_path, tiny_policy, loaded)


def ordered(order: Order | None, model: StoredModel, previous: StoredModel) -> None:
    assert order is not None
    assert (order.digest, order.previous) == (model.digest, previous.digest)


def test_a_release_is_rolled_back_to_what_was_current(robot: Robot) -> None:
    ordered(robot.take(robot.one), robot.one, robot.start)
    assert robot.store.previous == robot.start


def test_one_that_follows_a_release_on_probation_is_rolled_back_to_what_was_before_both(
    robot: Robot,
) -> None:
    robot.take(robot.one)
    ordered(robot.take(robot.two), robot.two, robot.start)
    assert robot.store.previous == robot.start
    assert robot.store.rollback() == robot.start


def test_one_that_follows_a_release_that_was_kept_is_rolled_back_to_that(robot: Robot) -> None:
    robot.take(robot.one)
    robot.ends("kept")
    ordered(robot.take(robot.two), robot.two, robot.one)
    assert robot.store.rollback() == robot.one
    assert robot.store.previous == robot.start


def test_what_a_crash_left_between_an_order_and_its_model_proves_nothing(robot: Robot) -> None:
    robot.take(robot.one)
    assert robot.order is not None
    order = dataclasses.replace(robot.order, digest=robot.two.digest, since=robot.order.since + 1)
    order.write(robot.home.state.probation)
    ordered(robot.take(robot.two), robot.two, robot.start)


def test_a_model_of_the_owners_is_on_no_probation_and_rolled_back_to_what_was_kept(
    robot: Robot,
) -> None:
    ordered(robot.take(robot.one), robot.one, robot.start)
    ordered(robot.take(robot.own), robot.one, robot.start)
    assert robot.store.previous == robot.start


def test_nor_is_what_was_kept_and_is_taken_again(robot: Robot) -> None:
    robot.take(robot.one)
    robot.ends("kept")
    robot.take(robot.two)
    ordered(robot.take(robot.one), robot.two, robot.one)
    assert robot.store.previous == robot.two


def test_what_is_current_is_not_put_on_probation_anew(robot: Robot) -> None:
    before = robot.take(robot.one)
    assert robot.take(robot.one) == before
    assert robot.store.previous == robot.start


def test_an_owner_may_want_no_probation(robot: Robot) -> None:
    robot.home = dataclasses.replace(robot.home, releases=ReleasesConfig(probation_s=0.0))
    assert robot.take(robot.one) is None
    robot.take(robot.two)
    assert robot.store.previous == robot.one


def test_who_pins_waits_for_a_switch_that_has_begun(robot: Robot) -> None:
    ledger = ReleaseLedger(robot.home.state.release_ledger)
    pin = Pin(robot.start.digest, 0, "a test")
    pins = threading.Thread(target=lambda: ledger.set_pin(pin))
    with ledger.unpinned():
        pins.start()
        pins.join(0.2)
        assert ledger.pin is None
    pins.join()
    assert ledger.pin == pin
