"""A release on the arm: kept after its time, rolled back when it trips, over restarts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.paths import StateDir
from agent.policy import weights
from agent.policy.load import LoadedPolicy
from agent.policy.merge import merge
from agent.policy.store import ModelStore, StoredModel
from agent.releases.owner import ReleasesConfig
from agent.releases.probation import Order
from agent.supervisor.trial import Trial
from tests.agent.releases.reports import Arm

OWNER = ReleasesConfig(probation_s=10.0)


class Fleet:
    """A robot's models, its trial, and what was told; it runs the models as the workers do."""

    def __init__(self, folder: Path, policy: Path, release: Path) -> None:
        self.state = StateDir(folder)
        self.state.create()
        self.store = ModelStore(self.state.models)
        self.old = self.store.promote(self.store.add(policy, origin="a test"))
        self.new = self.store.add(release, origin="a release")
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.settled = 0
        self.generation = 1
        self.start()

    def start(self, owner: ReleasesConfig = OWNER) -> None:
        """The supervisor begins."""
        self.trial = Trial(
            owner, fps=30, state=self.state, store=self.store,
            emit=lambda kind, cause, **data: self.events.append((kind, cause, data)),
        )  # fmt: skip
        self.follow()

    def follow(self) -> bool:
        assert self.store.current is not None
        return self.trial.begins(self.store.current.digest)

    def take(self, model: StoredModel | None = None) -> bool:
        """What the gate does with a release that passes; whether the worker before is kept."""
        model = model or self.new
        order = Order(digest=model.digest, version=3, previous=self.old.digest, since=time.time())
        order.write(self.state.probation)
        self.store.promote(model)
        self.generation += 1
        return self.follow()

    def hear(self, telemetry: dict[str, Any]) -> None:
        self.trial.hear_telemetry(telemetry, self)

    def happens(self, kind: str, **data: Any) -> None:
        self.trial.hear_event({"event": kind, "cause": f"a {kind}", "data": data}, self)

    def give_up(self, reason: str) -> str | None:
        self.store.rollback(reason=reason)
        self.generation -= 1
        self.follow()
        return None

    def settle(self) -> None:
        self.settled += 1

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.events]

    @property
    def last(self) -> tuple[str, str, dict[str, Any]]:
        return self.events[-1]


@pytest.fixture
def fleet(tmp_path: Path, tiny_policy: Path, other_policy: Path) -> Fleet:
    return Fleet(tmp_path, tiny_policy, other_policy)


@pytest.fixture
def third(fleet: Fleet, tiny_policy: Path, loaded: LoadedPolicy, tmp_path: Path) -> StoredModel:
    """The release after the one that the fleet has."""
    tensors = {k: v + 2 for k, v in weights.trainable(loaded.policy).items()}
    merge(tiny_policy, tensors, tmp_path / "third")
    return fleet.store.add(tmp_path / "third", origin="a release")


def drive(fleet: Fleet, model: StoredModel, times: int, **driving: Any) -> None:
    arm = Arm(model.digest)
    fleet.hear(arm.report())
    for _ in range(times):
        fleet.hear(arm.drives(**driving))


def test_a_release_that_behaves_is_kept_after_its_time(fleet: Fleet) -> None:
    drive(fleet, fleet.old, 10)
    assert fleet.take()
    drive(fleet, fleet.new, 20)
    assert fleet.kinds == ["release_on_probation", "release_kept"]
    _, cause, data = fleet.last
    assert cause == "release 3 has driven for 10 s"
    assert (data["version"], data["digest"], data["ticks"]) == (3, fleet.new.digest, 300)
    assert data["usual"]["ticks"] == 150
    assert fleet.settled == 1
    # And then it is nobody's business any more.
    drive(fleet, fleet.new, 2, trips=15)
    assert len(fleet.events) == 2


def test_one_that_trips_the_guard_is_rolled_back_at_the_next_report(fleet: Fleet) -> None:
    drive(fleet, fleet.old, 10)
    fleet.take()
    drive(fleet, fleet.new, 1, trips=15)
    kind, cause, data = fleet.last
    assert (kind, cause) == (
        "release_rolled_back", "the guard changed its actions 15 times in 15 ticks",
    )  # fmt: skip
    assert data["window"]["trips"] == 15
    assert fleet.store.current == fleet.old
    assert fleet.store.history()[-1]["reason"] == f"probation: {cause}"


TROUBLES: dict[str, Callable[[Fleet], None]] = {
    "stopped: a stopped": lambda f: f.happens("stopped"),
    "policy_hung: a policy_hung": lambda f: f.happens("policy_hung", generation=f.generation),
    "policy_lost: a policy_lost": lambda f: f.happens("policy_lost", generation=f.generation),
    "policy_error: a policy_error": lambda f: f.happens("policy_error", generation=f.generation),
}


@pytest.mark.parametrize("cause", TROUBLES)
def test_an_operators_stop_and_a_worker_that_fails_end_it(fleet: Fleet, cause: str) -> None:
    fleet.take()
    drive(fleet, fleet.new, 1)
    TROUBLES[cause](fleet)
    assert fleet.last[:2] == ("release_rolled_back", cause)
    assert fleet.store.current == fleet.old


def test_what_befalls_the_model_before_is_not_the_releases_fault(fleet: Fleet) -> None:
    drive(fleet, fleet.old, 2)
    fleet.take()
    fleet.happens("stopped")
    fleet.happens("policy_lost", generation=fleet.generation - 1)
    drive(fleet, fleet.old, 2, trips=15)
    assert fleet.kinds == ["release_on_probation"]


def test_a_stop_can_be_left_out(fleet: Fleet) -> None:
    fleet.start(ReleasesConfig(stop_rolls_back=False))
    fleet.take()
    drive(fleet, fleet.new, 1)
    fleet.happens("stopped")
    assert fleet.kinds == ["release_on_probation"]


def test_an_agent_that_restarts_goes_on_where_it_was(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.supervisor.trial._SAVE_EVERY_S", 0.0)
    drive(fleet, fleet.old, 10)
    fleet.take()
    drive(fleet, fleet.new, 8)
    fleet.start()
    assert fleet.last[0] == "release_on_probation"
    assert (fleet.last[2]["ticks"], fleet.last[2]["of"]) == (120, 300)
    # What was usual is still known.
    drive(fleet, fleet.new, 6, step=9.0)
    assert fleet.last[1] == "its actions take steps 9.0 times as large as before"


def test_one_that_ended_stays_ended_over_a_restart(fleet: Fleet) -> None:
    fleet.take()
    drive(fleet, fleet.new, 20)
    fleet.start()
    drive(fleet, fleet.new, 20, trips=15)
    assert fleet.kinds == ["release_on_probation", "release_kept"]


def test_a_model_that_no_gate_took_is_on_no_probation(fleet: Fleet) -> None:
    fleet.store.promote(fleet.new)
    assert not fleet.follow()
    drive(fleet, fleet.new, 4, trips=15)
    assert fleet.events == []


def test_no_probation_and_no_worker_kept_are_the_owners_to_ask_for(fleet: Fleet) -> None:
    fleet.start(ReleasesConfig(probation_s=0.0))
    assert not fleet.take()
    assert fleet.events == []
    fleet.start(ReleasesConfig(keep_previous=False))
    assert not fleet.follow()
    assert fleet.kinds == ["release_on_probation"]


def test_a_release_that_follows_one_on_probation_is_compared_with_the_model_before_both(
    fleet: Fleet, third: StoredModel
) -> None:
    drive(fleet, fleet.old, 10)
    fleet.take()
    drive(fleet, fleet.new, 2)
    fleet.start()  # so that nothing but the progress knows what was usual
    drive(fleet, fleet.new, 2)
    assert fleet.take(third)
    assert fleet.kinds[-2:] == ["release_left", "release_on_probation"]
    # One may drive on while the other loads: that says nothing of what is usual.
    drive(fleet, fleet.new, 10, trips=15)
    drive(fleet, third, 1, trips=15)
    kind, _, data = fleet.last
    assert (kind, data["digest"], data["previous"]) == (
        "release_rolled_back", third.digest, fleet.old.digest,
    )  # fmt: skip
    assert (data["usual"]["ticks"], data["usual"]["trips"]) == (150, 0)


def test_an_operators_rollback_is_told_as_one(fleet: Fleet) -> None:
    fleet.take()
    fleet.store.rollback(reason="the operator")
    fleet.follow()
    assert fleet.last[:2] == ("release_rolled_back", "the operator")


def test_another_model_ends_it_without_a_verdict(
    fleet: Fleet, tiny_policy: Path, tmp_path: Path
) -> None:
    fleet.take()
    fleet.store.promote(fleet.old)
    fleet.follow()
    assert fleet.last[0] == "release_left"
