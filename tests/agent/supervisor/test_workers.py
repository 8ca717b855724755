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

    def policy(self, model: StoredModel, generation: int) -> ChildSpec:
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
        self.workers = PolicyWorkers(self.children, store, self._emit, local=True)  # type: ignore[arg-type]

    def _emit(self, event: str, text: str, **fields: Any) -> None:
        self.events.append((event, fields))

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
