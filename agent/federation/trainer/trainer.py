"""Does one job after the other, each in a process of its own, when the robot has time for it.

This process imports no PyTorch: while there is nothing to do it costs next to nothing. The one that
trains is stopped at once when it may not go on (the arm works, the host is hot …), ended when that
lasts, so that its memory is free for the arm's, and started again from its checkpoint. One that
dies is started again as well, more and more slowly; one that dies again and again without getting
on has failed, and the server hears why.
"""

from __future__ import annotations

import json
import logging
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from agent.federation.conditions import Conditions
from agent.federation.jobs.job import Attempts, Job
from agent.federation.jobs.store import JobStore
from agent.federation.trainer.statuses import DONE, LATER, NEVER
from agent.supervisor.child import Child, ChildSpec, Exit
from agent.training.home import Home
from robots.errors import FederationError

NICENESS = 10
HOLD_S = 60.0
"""A training that may not go on keeps its memory for so long."""

MOST_ATTEMPTS = 6
_BACK_OFF_S = (1.0, 5.0, 15.0, 60.0, 300.0)
_END_S = 5.0

logger = logging.getLogger(__name__)


class Trainer:
    """The trainer of one robot.

    Args:
        node: What the ClientApp finds in its node configuration, see ``Home.of``.
        why_not: Why nothing is trained now; empty: it may be.
        checkpoint_s: How often a training keeps how far it is, s.
        hold_s: How long one that may not go on keeps its memory, s.
        back_off_s: Waits before a job is begun again, s.
    """

    def __init__(
        self,
        node: Mapping[str, Any],
        *,
        why_not: Callable[[], str] | None = None,
        checkpoint_s: float = 30.0,
        hold_s: float = HOLD_S,
        back_off_s: tuple[float, ...] = _BACK_OFF_S,
    ) -> None:
        self._node = dict(node)
        self._home = Home.of(node)
        self._why_not = why_not or Conditions(self._home).why_not
        self._checkpoint_s = checkpoint_s
        self._hold_s = hold_s
        self._back_off_s = back_off_s
        self._store = JobStore(self._home.state.jobs)
        self._job: Job | None = None
        self._child: Child | None = None
        self._stopped_at: float | None = None
        self._later = 0
        self._not_before = 0.0

    def poll(self) -> bool:
        """Look once at what there is to do; whether there is anything."""
        if self._child is not None and self._job is not None:
            self._watch(self._job, self._child)
            return True
        job = self._store.next()
        if job is None:
            return False
        if reason := self._why_not():
            _note(job, reason)
        elif time.monotonic() >= self._not_before:
            self._begin(job)
        return True

    def end(self) -> None:
        """End what runs; it goes on from its checkpoint another time."""
        if self._child is not None and self._job is not None:
            self._leave(self._job, self._child)

    # ---------------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        before, checkpoint = job.attempts, job.checkpoint
        got_on = checkpoint != before.checkpoint
        try:
            # Before it begins: a job that takes the whole host down with it counts as well.
            self._count(job, 1 if got_on else before.count + 1)
            _note(job, "")
        except FederationError:
            # Removed in this moment.
            return
        child = Child(self._spec(job))
        child.start()
        logger.info("%s begins, pid %s", job.name, child.pid)
        self._job, self._child, self._stopped_at = job, child, None

    def _watch(self, job: Job, child: Child) -> None:
        if not job.there:
            logger.info("%s was removed", job.name)
            child.signal(signal.SIGKILL)
            child.end(grace_s=0.0)
            self._job = self._child = None
            return
        ended = child.poll()
        if ended is not None:
            self._job = self._child = None
            self._ended(job, ended)
            return
        reason = self._why_not()
        if reason and self._stopped_at is None:
            logger.info("%s pauses: %s", job.name, reason)
            child.signal(signal.SIGSTOP)
            self._stopped_at = time.monotonic()
        elif not reason and self._stopped_at is not None:
            logger.info("%s goes on", job.name)
            child.signal(signal.SIGCONT)
            self._stopped_at = None
        _note(job, reason)
        if self._stopped_at is not None and time.monotonic() - self._stopped_at > self._hold_s:
            self._leave(job, child)

    def _leave(self, job: Job, child: Child) -> None:
        child.signal(signal.SIGKILL)
        child.end(grace_s=0.0)
        self._job = self._child = None
        if job.there and not job.over:
            self._count(job, job.attempts.count - 1)

    def _ended(self, job: Job, ended: Exit) -> None:
        logger.info("%s %s", job.name, ended)
        if not job.there or job.over or ended.status in (DONE, NEVER):
            self._later, self._not_before = 0, 0.0
            return
        if ended.status == LATER:
            # Nobody's fault here: the server isn't there.
            self._count(job, job.attempts.count - 1)
            self._wait(self._later)
            self._later += 1
            return
        count = job.attempts.count if job.checkpoint == job.attempts.checkpoint else 0
        if count >= MOST_ATTEMPTS:
            reason = f"its process {ended}{self._last_words()} ({count} times without getting on)"
            job.write("failed", {"reason": reason})
            return
        _note(job, f"its process {ended}, it goes on from its checkpoint")
        self._wait(max(count - 1, 0))

    def _wait(self, times: int) -> None:
        self._not_before = (
            time.monotonic() + self._back_off_s[min(times, len(self._back_off_s) - 1)]
        )

    def _count(self, job: Job, count: int) -> None:
        attempts = Attempts(count=max(0, count), checkpoint=job.checkpoint)
        job.write("attempts", {"count": attempts.count, "checkpoint": attempts.checkpoint})

    def _last_words(self) -> str:
        log = self._home.state.logs / "trainer.log"
        try:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f": {lines[-1][:200]}" if lines else ""

    def _spec(self, job: Job) -> ChildSpec:
        argv = [
            sys.executable,
            "-m",
            "agent.federation.trainer.work",
            f"--node={json.dumps(self._node)}",
            f"--job={job.folder}",
            f"--checkpoint_s={self._checkpoint_s}",
        ]
        return ChildSpec(
            name="training",
            argv=argv,
            log=self._home.state.logs / "trainer.log",
            # A local folder is never looked up on a hub.
            env={"HF_HUB_OFFLINE": "1"},
            nice=NICENESS,
            # As for the policy worker: see agent.supervisor.children.
            forks=platform.machine() in ("x86_64", "AMD64"),
            dies_by=signal.SIGKILL,
        )


def _note(job: Job, reason: str) -> None:
    if job.there:
        job.note_that(reason)
