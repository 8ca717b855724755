"""The policy workers: one that serves, for the time of a swap a second one, and the remote one.

The model store's ``current`` says which model should run. Whoever moves that pointer (a release
that was pulled, ``armada models rollback``) is noticed here, and a worker of the next generation
is started beside the old one; control switches when it is ready and retires the old one. A model
whose worker can't load it is rolled back: at once if the worker says so, else when it has ended or
been killed for hanging several times in a row before it was ready.

A release on probation (``trial.py``) has its worker said so to control, which keeps the worker
before it: going back is then a matter of asking that one again.

The remote worker asks a policy server; it is there from the beginning to the end, with a local one
beside it only where ``--inference.fallback`` says so.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from agent.policy.store import ModelStore
from agent.supervisor.child import Child, Exit
from agent.supervisor.children import Children
from agent.supervisor.words import last_error
from robots.errors import ModelError

_CANT_LOAD = 3
"""Exit status of a worker whose model doesn't load or fit."""

_CONTROL_GONE = 0
"""Or it was retired."""

_TRIES = 3
"""Once, memory may have been short for a moment, or somebody may have killed the wrong process."""


class PolicyWorkers:
    """Starts workers by generation.

    Args:
        children: Makes their command lines.
        store: Says which model is current.
        emit: Where events go.
        local: Whether a model of the store runs here at all.
        start_limit_s: A local worker that isn't ready after this hangs, and is killed.
        on_trial: Called with the digest of each model that is to run: whether the worker before is
            kept.
        order: Gives control an order: name, arguments.
    """

    def __init__(
        self,
        children: Children,
        store: ModelStore,
        emit: Callable[..., None],
        *,
        local: bool,
        start_limit_s: float,
        on_trial: Callable[[str], bool] = lambda digest: False,
        order: Callable[[str, dict[str, Any]], None] = lambda name, args: None,
    ) -> None:
        self._children = children
        self._store = store
        self._emit = emit
        self._generation = 0
        self._started = 0
        self._proved_generation = 0
        self._digest = ""
        self._failed_starts: Counter[int] = Counter()
        self._late: dict[int, str] = {}
        self._local = local
        self._start_limit_s = start_limit_s
        self._on_trial = on_trial
        self._order = order
        self._workers: dict[int, Child] = {}
        self._kept: dict[int, str] = {}
        self._models: dict[int, str] = {}
        """Generation to digest, of all that were started."""
        spec = children.remote()
        self._remote = None if spec is None else Child(spec)
        self._remote_started = False

    def poll(self) -> None:
        """Start, notice, replace; call it several times a second."""
        for generation, child in list(self._workers.items()):
            ended = child.poll()
            if ended is not None:
                self._ended(generation, child, ended)
            elif child.overdue(self._start_limit_s):
                self._kill_late(generation, child)
        newest = self._workers.get(self._generation)
        if newest is not None and newest.restart_when_due():
            self._emit("process_restarted", f"{newest.spec.name} starts again", pid=newest.pid)
        if self._local:
            self._follow_store()
        if self._remote is not None:
            self._keep_remote(self._remote)

    def kill(self, pid: int) -> None:
        """End a worker that hangs; ``poll`` starts it again."""
        for child in self._all():
            if child.pid == pid:
                child.signal(signal.SIGKILL)

    def proved(self, pid: int) -> None:
        """This one has loaded its model and computed chunks with it, if only to warm up."""
        for child in self._all():
            if child.pid == pid:
                child.proved()
        for generation, child in self._workers.items():
            if child.pid == pid:
                self._proved_generation = max(self._proved_generation, generation)

    @property
    def generation(self) -> int:
        """Of the worker that runs what is current."""
        return self._generation

    def give_up(self, reason: str) -> str | None:
        """Roll back: no action of the current model is taken from now on, and the model before
        drives, at once if its worker was kept.

        Returns:
            Why there is nothing to go back to, or ``None``.
        """
        if self._store.previous is None:
            return "there is no previous model"
        # First the arm: the model that comes back is read through before it is current.
        self._order("end_trial", {"generation": self._generation, "keep": False})
        try:
            self._store.rollback(reason=reason)
        except (ModelError, OSError) as error:
            return str(error)
        self._follow_store()
        return None

    def settle(self) -> None:
        """The current model stays: the worker that was kept for going back may go."""
        self._kept.clear()
        self._order("end_trial", {"generation": self._generation, "keep": True})

    def end(self) -> None:
        for child in self._all():
            child.end(grace_s=1.0)

    def _all(self) -> list[Child]:
        return [*self._workers.values(), *([] if self._remote is None else [self._remote])]

    def _keep_remote(self, remote: Child) -> None:
        if not self._remote_started:
            self._remote_started = True
            remote.try_start()
        ended = remote.poll()
        if ended is not None:
            self._emit(
                "process_ended", f"{remote.spec.name} {ended}", lived_s=round(ended.lived_s, 1)
            )
        if remote.restart_when_due():
            self._emit("process_restarted", f"{remote.spec.name} starts again", pid=remote.pid)

    def _follow_store(self) -> None:
        model = self._store.current
        if model is None or model.digest == self._digest:
            return
        before, self._digest = self._digest, model.digest
        trial = self._on_trial(model.digest)
        if self._goes_back_to(model.digest):
            return
        previous = self._store.previous
        if previous is not None and self._goes_back_to(previous.digest):
            # What is left was on probation itself, and nobody watches it any more: the model that
            # both are rolled back to drives until the new one is ready.
            before = previous.digest
        self._kept.clear()
        self._end_unproved()
        if trial and previous is not None and previous.digest == before:
            self._kept[self._generation] = before
        self._generation = self._started = self._started + 1
        self._models[self._generation] = model.digest
        child = Child(self._children.policy(model, self._generation, trial=bool(self._kept)))
        child.try_start()
        self._workers[self._generation] = child
        if self._generation > 1:
            self._emit(
                "swap_started",
                "a worker loads the new model beside the one that serves",
                generation=self._generation,
                digest=model.digest,
            )

    def _end_unproved(self) -> None:
        """Kill the worker that a newer order overtakes while it loads: control, which may not know
        it yet, would take it for the newest one as soon as it is ready."""
        left = self._workers.get(self._generation)
        if left is not None and self._generation > self._proved_generation:
            left.signal(signal.SIGKILL)

    def _goes_back_to(self, digest: str) -> bool:
        """Whether the worker that was kept has this model, and is asked again."""
        for generation, kept in self._kept.items():
            child = self._workers.get(generation)
            if kept == digest and child is not None and child.alive:
                self._order("end_trial", {"generation": self._generation, "keep": False})
                self._end_unproved()
                self._generation = generation
                self._kept.clear()
                return True
        return False

    def _ended(self, generation: int, child: Child, ended: Exit) -> None:
        if generation != self._generation:
            # Retired by control, or a predecessor that died while its successor warms up.
            del self._workers[generation]
            return
        cause = f"{child.spec.name} {self._late.pop(generation, ended)}"
        if ended.status == _CANT_LOAD and (why := last_error(child.spec.log)):
            cause += f": {why}"
        self._emit("process_ended", cause, lived_s=round(ended.lived_s, 1))
        # A predecessor that proved itself may have died meanwhile: it is started anew. The very
        # first one has none; what is amiss with it may be the robot, which a restart can find well.
        had_one = len(self._workers) > 1 or generation > self._proved_generation > 0
        if not had_one:
            return
        if ended.status == _CANT_LOAD:
            self._roll_back(generation, cause)
        elif ended.status != _CONTROL_GONE and generation > self._proved_generation:
            self._failed_starts[generation] += 1
            if (times := self._failed_starts[generation]) >= _TRIES:
                self._roll_back(generation, f"{cause}, {times} times before it was ready")

    def _kill_late(self, generation: int, child: Child) -> None:
        why = f"was not ready within {self._start_limit_s:g} s"
        self._late[generation] = f"{why} and was killed"
        self._emit("policy_hung", f"{child.spec.name} {why}", generation=generation, pid=child.pid)
        child.signal(signal.SIGKILL)

    def _roll_back(self, generation: int, why: str) -> None:
        try:
            model = self._store.rollback(reason=f"its worker could not load it: {why}")
        except (ModelError, OSError) as error:
            # Its worker is tried again, and so is this: better than none.
            self._emit("rollback_failed", f"{error} ({why})")
            return
        del self._workers[generation]
        serves = [g for g in self._workers if self._models[g] == model.digest]
        if serves:
            # Nothing to start.
            self._digest = model.digest
            self._on_trial(model.digest)
            self._generation = max(serves)
            self._kept.clear()
        self._emit("rolled_back", f"the new model does not load: {why}", digest=model.digest)
