"""What a robot answers to an order: which job it is about, and how that stands.

The ClientApp makes messages of it. PyTorch and LeRobot, which cost seconds, are imported only when
an order is new or done with: most questions are how a job stands.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from agent.federation.base import cannot_start
from agent.federation.conditions import Conditions, declines
from agent.federation.jobs.job import Job
from agent.federation.jobs.store import JobStore
from agent.federation.wire import (
    DECLINED,
    FAILED,
    FINISHED,
    MEASURE,
    OPTED_OUT,
    OTHER_JOB,
    RUNNING,
    TOO_FEW,
    TRAIN,
    Answer,
    Order,
)
from agent.training.home import Home
from robots.errors import ArmadaError, DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer, and the job whose result goes with it, if it is finished."""

    answer: Answer
    job: Job | None = None


class Orders:
    """Takes orders for one robot.

    Args:
        home: The robot's.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._store = JobStore(home.state.jobs)

    def take(self, order: Order) -> Reply:
        """Note what the server has, and answer: with the job that was ordered, which is kept from
        now on, or with an earlier one whose update is still wanted.

        Raises:
            ArmadaError: the robot's own files can't be used.
        """
        for name in order.received:
            self._delivered(name)
        for name in order.abandoned:
            self._store.remove(name)
        if self._home.training.opt_out:
            for job in self._store.list():
                self._store.remove(job.name)
        known = self._store.find(order.job)
        if known is None:
            earlier = self._earlier(order)
            if earlier is not None:
                return self._stands(earlier, order)
            if reason := self._why_not(order):
                return self._declines(order, reason)
            known = self._store.add(order)
        return self._stands(known, order)

    def _earlier(self, order: Order) -> Job | None:
        """The job that is delivered before the one that was ordered is begun; all others that
        stand in its way are abandoned."""
        late: Job | None = None
        for job in self._store.list():
            wanted = f"-{TRAIN}-" in job.name and order.late_wanted and not job.failed
            if not wanted or not job.understood:
                self._store.remove(job.name)
            elif job.result is None and not job.checkpoint and not job.progress.step:
                # Nothing is lost with it: the new one starts from newer weights.
                self._store.remove(job.name)
            elif order.work == TRAIN:
                late = late or job
        return late

    def _why_not(self, order: Order) -> str:
        """Why a new job is declined; empty: it isn't."""
        if self._home.training.opt_out:
            return f"{OPTED_OUT}: --training.opt_out"
        under_way = self._store.next()
        if order.work == MEASURE and under_way is not None:
            return f"{OTHER_JOB}: {under_way.name} is under way"
        if reason := self._too_few(order):
            return reason
        if reason := cannot_start(self._home, order):
            return reason
        reason = Conditions(self._home).why_not()
        return reason if declines(self._home.training, reason) else ""

    def _too_few(self, order: Order) -> str:
        from agent.data.lock import reading
        from agent.data.usable import usable
        from agent.data.used import uses
        from robots.replay.info import read_info

        root = self._home.dataset_root
        try:
            with reading(root):
                used = uses(root)
                found = usable(read_info(root), unclean=self._home.training.unclean)
        except DataError as error:
            return f"{TOO_FEW}: {error}"
        training, heldout = found.split()
        if order.work == MEASURE:
            few = f"{len(found.episodes)} episodes are too few to hold one out{found}"
            return "" if heldout else f"{TOO_FEW}: {few}"
        new = sum(used[index].trained is None for index in training)
        wanted = max(order.min_new_episodes, self._home.training.min_new_episodes)
        if not training or new < wanted:
            asked = f"{max(wanted, 1)} are asked for"
            return f"{TOO_FEW}: {new} of {len(training)} are new, {asked}{found}"
        return ""

    def _declines(self, order: Order, reason: str) -> Reply:
        log.info("declined: %s", reason)
        answer = Answer(job=order.job, robot=self._home.name, state=DECLINED, reason=reason)
        return Reply(answer=answer)

    def _stands(self, job: Job, order: Order) -> Reply:
        progress = job.progress
        result = job.result
        state = FINISHED if result is not None else FAILED if job.failed else RUNNING
        answer = Answer(
            job=job.name,
            robot=self._home.name,
            state=state,
            reason=job.failed or ("" if result is not None else job.note),
            step=progress.step,
            steps=progress.steps,
            start_digest=job.order.start_digest,
            update_digest=str((result or {}).get("update-digest", "")),
        )
        return Reply(answer=answer, job=job if result is not None else None)

    def _delivered(self, name: str) -> None:
        """The server has it: episodes count as used from now on, and the job is forgotten."""
        job = self._store.find(name)
        if job is None:
            return
        if job.result is not None:
            from agent.data.used import note_trained
            from agent.federation.payload.feedback import Residual

            note_trained(self._home.dataset_root, job.result.get("trained-on", []))
            Residual(self._home.state.residual).received([name])
        self._store.remove(name)


def refused(home: Home, error: ArmadaError) -> Answer:
    """The answer to what is no order, or to one that can't be taken."""
    return Answer(job="", robot=home.name, state=FAILED, reason=str(error))
