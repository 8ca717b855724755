"""Which policy workers run: the store's current model, and what is done about one that won't."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.policy import weights
from agent.policy.load import LoadedPolicy
from agent.policy.merge import merge
from agent.policy.store import ModelStore, StoredModel
from agent.supervisor.child import ChildSpec
from agent.supervisor.workers import PolicyWorkers

_LOADS = "import time; time.sleep(600)"
_CANT_LOAD = "import sys, time; time.sleep(0.5); sys.exit(3)"


class Scripted:
    """Command lines of workers that load every model but one.

    Args:
        logs: A folder for their logs.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self.bad = ""
        self.trials: list[int] = []

    def policy(self, model: StoredModel, generation: int, *, trial: bool = False) -> ChildSpec:
        if trial:
            self.trials.append(generation)
        code = _CANT_LOAD if model.digest == self.bad else _LOADS
        name = f"policy-{generation}"
        return ChildSpec(name=name, argv=[sys.executable, "-c", code], log=self._logs / name)

    def remote(self) -> ChildSpec | None:
        return None


class Rig:
    """Workers, their store, and what was told of them."""

    def __init__(self, store: ModelStore, logs: Path) -> None:
        self.store = store
        self.children = Scripted(logs)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.orders: list[tuple[int, bool]] = []
        self.on_trial = False
        self.workers = PolicyWorkers(
            self.children,  # type: ignore[arg-type]
            store,
            self._emit,
            local=True,
            on_trial=lambda digest: self.on_trial,
            order=self._order,
        )

    def _emit(self, event: str, text: str, **fields: Any) -> None:
        self.events.append((event, fields))

    def _order(self, name: str, args: dict[str, Any]) -> None:
        assert name == "end_trial"
        self.orders.append((args["generation"], args["keep"]))

    def heard(self, event: str) -> bool:
        return any(event == e for e, _ in self.events)

    def until(self, condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < limit, self.events
            self.workers.poll()
            time.sleep(0.02)

    def pids(self) -> list[int]:
        return [child.pid for child in self.workers._all() if child.pid is not None]


@pytest.fixture
def rig(tiny_policy: Path, loaded: LoadedPolicy, tmp_path: Path) -> Iterator[Rig]:
    """With a good model that is current, and a bad one."""
    store = ModelStore(tmp_path / "models")
    store.promote(store.add(tiny_policy, origin="a test").digest)
    tensors = {k: v + 1 for k, v in weights.trainable(loaded.policy).items()}
    rig = Rig(store, tmp_path)
    merge(tiny_policy, tensors, tmp_path / "bad")
    rig.children.bad = store.add(tmp_path / "bad", origin="a test").digest
    yield rig
    rig.workers.end()


def _serves(rig: Rig) -> int:
    """The pid of the first worker, which has proved itself."""
    rig.until(lambda: len(rig.pids()) == 1)
    (pid,) = rig.pids()
    rig.workers.proved(pid)
    return pid


def test_a_model_that_does_not_load_is_rolled_back_and_the_old_worker_stays(rig: Rig) -> None:
    good, pid = rig.store.current, _serves(rig)
    rig.store.promote(rig.children.bad)
    rig.until(lambda: rig.heard("rolled_back"))
    assert rig.store.current == good
    rig.workers.poll()
    assert rig.pids() == [pid]


def test_it_is_also_rolled_back_when_the_old_worker_dies_while_it_loads(rig: Rig) -> None:
    good, pid = rig.store.current, _serves(rig)
    rig.store.promote(rig.children.bad)
    rig.until(lambda: len(rig.pids()) == 2)
    os.kill(pid, signal.SIGKILL)
    rig.until(lambda: rig.heard("rolled_back"))
    assert rig.store.current == good
    rig.until(lambda: len(rig.pids()) == 1)
    assert rig.pids() != [pid]


def test_the_first_model_is_tried_again_and_again(rig: Rig) -> None:
    bad = rig.store.promote(rig.children.bad)
    rig.until(lambda: rig.heard("process_restarted"))
    assert rig.store.current is not None
    assert rig.store.current.digest == bad.digest
    assert not rig.heard("rolled_back")


@pytest.fixture
def release(rig: Rig, tiny_policy: Path, loaded: LoadedPolicy, tmp_path: Path) -> StoredModel:
    """Another good model."""
    tensors = {k: v + 2 for k, v in weights.trainable(loaded.policy).items()}
    merge(tiny_policy, tensors, tmp_path / "release")
    return rig.store.add(tmp_path / "release", origin="a release")


def _take(rig: Rig, release: StoredModel, *, keep: bool) -> int:
    """The pid of a release's worker, which has proved itself."""
    rig.on_trial = keep
    rig.store.promote(release)
    rig.until(lambda: len(rig.pids()) == 2)
    pid = rig.pids()[-1]
    rig.workers.proved(pid)
    rig.on_trial = False
    return pid


def test_a_release_that_is_given_up_leaves_the_worker_that_was_kept(
    rig: Rig, release: StoredModel
) -> None:
    good, pid = rig.store.current, _serves(rig)
    on_trial = _take(rig, release, keep=True)
    assert rig.children.trials == [2]

    assert rig.workers.give_up("it trips") is None

    assert (rig.store.current, rig.orders[0]) == (good, (2, False))
    # Control has retired the other one.
    os.kill(on_trial, signal.SIGTERM)
    rig.until(lambda: rig.pids() == [pid])
    assert not rig.heard("process_restarted")
    assert not rig.heard("process_ended")


def test_without_one_that_was_kept_the_model_before_is_loaded_anew(
    rig: Rig, release: StoredModel
) -> None:
    good, pid = rig.store.current, _serves(rig)
    on_trial = _take(rig, release, keep=False)
    os.kill(pid, signal.SIGTERM)
    rig.until(lambda: rig.pids() == [on_trial])

    assert rig.workers.give_up("it trips") is None

    assert rig.store.current == good
    assert rig.orders == [(2, False)]
    rig.until(lambda: len(rig.pids()) == 2)
    assert rig.workers.generation == 3


def test_a_release_that_is_kept_lets_the_worker_before_go(rig: Rig, release: StoredModel) -> None:
    _serves(rig)
    _take(rig, release, keep=True)
    rig.workers.settle()
    assert rig.orders == [(2, True)]
    assert rig.store.current == release


def test_with_nothing_to_go_back_to_a_release_stays(rig: Rig) -> None:
    _serves(rig)
    assert rig.workers.give_up("it trips") == "there is no previous model"
    assert rig.orders == []
