"""Which policy workers run: the store's current model, and what is done about one that won't."""

from __future__ import annotations

import os
import shutil
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
_CANT_LOAD = (
    "import sys, time; time.sleep(0.5)\n"
    "print('12:00:00 ERROR __main__: its weights do not load', flush=True); sys.exit(3)"
)
_DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
_FINDS_NO_CONTROL = ""


class Scripted:
    """Command lines of workers that load every model but one.

    Args:
        logs: A folder for their logs.
        remote: The command line of the remote worker, if there is one.
    """

    def __init__(self, logs: Path, remote: list[str] | None = None) -> None:
        self._logs = logs
        self._remote = remote
        self.bad = ""
        self.bad_argv = [sys.executable, "-c", _CANT_LOAD]
        self.trials: list[int] = []

    def policy(self, model: StoredModel, generation: int, *, trial: bool = False) -> ChildSpec:
        if trial:
            self.trials.append(generation)
        good_argv = [sys.executable, "-c", _LOADS]
        return self._spec(
            f"policy-{generation}", self.bad_argv if model.digest == self.bad else good_argv
        )

    def remote(self) -> ChildSpec | None:
        return None if self._remote is None else self._spec("remote", self._remote)

    def _spec(self, name: str, argv: list[str]) -> ChildSpec:
        return ChildSpec(name=name, argv=argv, log=self._logs / name)


class Rig:
    """Workers, their store, and what was told of them."""

    def __init__(
        self,
        store: ModelStore,
        logs: Path,
        *,
        remote: list[str] | None = None,
        start_limit_s: float = 300.0,
    ) -> None:
        self.store = store
        self.children = Scripted(logs, remote)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.orders: list[tuple[int, bool]] = []
        self.on_trial = False
        self.workers = PolicyWorkers(
            self.children,  # type: ignore[arg-type]
            store,
            self._emit,
            local=remote is None,
            start_limit_s=start_limit_s,
            on_trial=lambda digest: self.on_trial,
            order=self._order,
        )

    def _emit(self, event: str, cause: str, **fields: Any) -> None:
        self.events.append((event, {**fields, "cause": cause}))

    def _order(self, name: str, args: dict[str, Any]) -> None:
        assert name == "end_trial"
        self.orders.append((args["generation"], args["keep"]))

    def heard(self, event: str) -> bool:
        return bool(self.causes(event))

    def causes(self, event: str) -> list[str]:
        return [fields["cause"] for e, fields in self.events if e == event]

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
    why = "policy-2 exited with status 3: its weights do not load"
    assert rig.causes("process_ended") == [why]
    assert rig.causes("rolled_back") == [f"the new model does not load: {why}"]
    assert rig.store.history()[-1]["reason"].endswith(why)
    rig.workers.poll()
    assert rig.pids() == [pid]


def test_one_whose_worker_dies_before_it_is_ready_is_rolled_back_after_three_tries(
    rig: Rig,
) -> None:
    good, pid = rig.store.current, _serves(rig)
    rig.children.bad_argv = [sys.executable, "-c", _DIES]
    rig.store.promote(rig.children.bad)
    rig.until(lambda: rig.heard("rolled_back"))
    assert rig.store.current == good
    assert rig.causes("process_ended") == ["policy-2 was killed by SIGKILL"] * 3
    assert "was killed by SIGKILL, 3 times before it was ready" in rig.causes("rolled_back")[0]
    rig.workers.poll()
    assert rig.pids() == [pid]


def test_one_that_dies_when_it_was_ready_once_is_started_again(rig: Rig) -> None:
    _serves(rig)
    rig.children.bad_argv = [sys.executable, "-c", _LOADS]
    bad = rig.store.promote(rig.children.bad)
    for deaths in range(4):
        rig.until(lambda: len(rig.pids()) == 2)
        rig.workers.proved(rig.pids()[-1])
        os.kill(rig.pids()[-1], signal.SIGKILL)
        rig.until(lambda deaths=deaths: len(rig.causes("process_ended")) > deaths)  # type: ignore[misc]
    assert rig.store.current == bad


def test_that_control_is_gone_is_no_fault_of_a_new_model(rig: Rig) -> None:
    _serves(rig)
    rig.children.bad_argv = [sys.executable, "-c", _FINDS_NO_CONTROL]
    bad = rig.store.promote(rig.children.bad)
    rig.until(lambda: len(rig.causes("process_ended")) > 3)
    assert rig.store.current == bad


def test_one_that_is_never_ready_is_killed_and_after_three_tries_rolled_back(rig: Rig) -> None:
    good, pid = rig.store.current, _serves(rig)
    rig.workers._start_limit_s = 0.2
    rig.children.bad_argv = [sys.executable, "-c", _LOADS]
    rig.store.promote(rig.children.bad)
    rig.until(lambda: rig.heard("rolled_back"))
    assert rig.store.current == good
    assert rig.causes("policy_hung") == ["policy-2 was not ready within 0.2 s"] * 3
    assert "was not ready within 0.2 s and was killed" in rig.causes("rolled_back")[0]
    rig.workers.poll()
    assert rig.pids() == [pid]


def test_a_model_that_cannot_be_rolled_back_is_tried_again(rig: Rig) -> None:
    _serves(rig)
    bad = rig.store.promote(rig.children.bad)
    (rig.store.root / "previous").unlink()
    rig.until(lambda: len(rig.causes("rollback_failed")) > 1)
    assert rig.store.current == bad
    assert "its weights do not load" in rig.causes("rollback_failed")[0]


def test_a_worker_that_cannot_be_started_now_is_started_later(rig: Rig, tmp_path: Path) -> None:
    _serves(rig)
    rig.children.bad_argv = [str(tmp_path / "sleep"), "600"]
    bad = rig.store.promote(rig.children.bad)
    rig.until(lambda: rig.heard("swap_started"))
    assert len(rig.pids()) == 1
    _appears(tmp_path / "sleep")
    rig.until(lambda: len(rig.pids()) == 2)
    assert rig.store.current == bad
    assert not rig.heard("process_ended")


def test_so_is_the_remote_one_which_may_wait_for_its_server_as_long_as_it_takes(
    rig: Rig, tmp_path: Path
) -> None:
    argv = [str(tmp_path / "sleep"), "600"]
    alone = Rig(rig.store, tmp_path, remote=argv, start_limit_s=0.01)
    alone.workers.poll()
    assert alone.pids() == []
    _appears(tmp_path / "sleep")
    try:
        alone.until(lambda: len(alone.pids()) == 1)
        pids, began = alone.pids(), time.monotonic()
        alone.until(lambda: time.monotonic() > began + 0.1)
        assert not alone.heard("policy_hung")
        assert alone.pids() == pids
    finally:
        alone.workers.end()


def _appears(program: Path) -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    program.symlink_to(sleep)


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


def _take(
    rig: Rig, release: StoredModel, *, keep: bool, previous: StoredModel | None = None
) -> int:
    """The pid of a release's worker, which has proved itself."""
    rig.on_trial = keep
    rig.store.promote(release, previous=previous)
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


def test_a_release_on_probation_that_is_followed_by_another_is_left_for_the_model_before_both(
    rig: Rig, release: StoredModel
) -> None:
    good, pid = rig.store.current, _serves(rig)
    assert good is not None
    left = _take(rig, release, keep=True)
    rig.children.bad_argv = [sys.executable, "-c", _LOADS]
    rig.on_trial = True
    rig.store.promote(rig.children.bad, previous=good)
    rig.until(lambda: rig.children.trials == [2, 3])
    # Control retires it, and asks the first one meanwhile.
    assert rig.orders == [(2, False)]
    os.kill(left, signal.SIGTERM)
    rig.until(lambda: left not in rig.pids())
    rig.workers.proved(rig.pids()[-1])

    assert rig.workers.give_up("it trips") is None

    assert (rig.store.current, rig.orders[1]) == (good, (3, False))
    assert rig.workers.generation == 1
    assert pid in rig.pids()


def test_when_that_other_does_not_load_the_one_that_was_left_does_not_come_back(
    rig: Rig, release: StoredModel
) -> None:
    good, pid = rig.store.current, _serves(rig)
    assert good is not None
    left = _take(rig, release, keep=False)
    os.kill(pid, signal.SIGTERM)
    rig.until(lambda: rig.pids() == [left])
    rig.store.promote(rig.children.bad, previous=good)
    rig.until(lambda: rig.heard("rolled_back"))
    assert rig.store.current == good
    # It serves until the model before both is loaded again.
    rig.until(lambda: len(rig.pids()) == 2)
    assert rig.workers.generation == 4


def test_one_that_is_given_up_before_it_was_ready_does_not_get_there(
    rig: Rig, release: StoredModel
) -> None:
    """Control, which doesn't know it yet, would ask it as the newest one."""
    pid = _serves(rig)
    rig.on_trial = True
    rig.store.promote(release)
    rig.until(lambda: len(rig.pids()) == 2)
    rig.store.rollback(reason="the operator")
    rig.until(lambda: rig.pids() == [pid])
    assert rig.workers.generation == 1
    assert not rig.heard("process_restarted")


def test_one_that_is_overtaken_before_it_was_ready_does_not_get_there_either(
    rig: Rig, release: StoredModel
) -> None:
    """Nothing is kept for it: what it was rolled back to is loaded anew."""
    pid = _serves(rig)
    rig.store.promote(release)
    rig.until(lambda: len(rig.pids()) == 2)
    (loading,) = set(rig.pids()) - {pid}
    rig.store.rollback(reason="the operator")
    rig.until(lambda: loading not in rig.pids() and len(rig.pids()) == 2)
    assert pid in rig.pids()
    assert not rig.heard("process_restarted")


def test_with_nothing_to_go_back_to_a_release_stays(rig: Rig) -> None:
    _serves(rig)
    assert rig.workers.give_up("it trips") == "there is no previous model"
    assert rig.orders == []
