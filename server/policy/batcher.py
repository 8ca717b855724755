"""The questions of many robots, answered by one model in one thread, several in one pass.

No waiting for company: an idle model takes what is there. While it computes, questions gather, and
the next pass takes them in the order of their arrival, one per robot (a newer one takes the older
one's place), as many as can be answered before the first of them expires. What nobody waits for any
more is dropped. Another model is taken between two passes, so no chunk and no pass mixes two.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from agent.policy.continuation import Guiding
from agent.policy.predict import Answer, Ask
from robots.errors import ArmadaError
from server.policy.model import INFERENCE_ERRORS, Model
from server.policy.pace import Pace

_SOONEST_S = 0.05


class ShedError(ArmadaError):
    """Too busy to answer in time.

    Args:
        retry_after_s: When it won't be.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too busy to answer in time; ask again in {retry_after_s:.2f} s")
        self.retry_after_s = retry_after_s


class SupersededError(ArmadaError):
    """A newer question of the same session came."""


class ExpiredError(ArmadaError):
    """The answer would come too late."""


@dataclass(frozen=True)
class Result:
    """A chunk and what it took.

    Args:
        answer: The policy's.
        digest: Of the model that computed all of it.
        batch: Robots in the same pass.
        queue_s: Between its arrival and its pass.
    """

    answer: Answer
    digest: str
    batch: int
    queue_s: float


@dataclass(eq=False, kw_only=True)
class Job:
    """A question.

    Args:
        session: Whose; it has one in the queue at most.
        ask: The observation.
        guiding: How its plan is continued.
        deadline: Monotonic time after which nobody wants the answer.
        done: Called once with the result or why there is none, from any thread.
    """

    session: str
    ask: Ask
    guiding: Guiding | None = None
    deadline: float
    done: Callable[[Result | Exception], None]
    arrived: float = field(default_factory=time.monotonic)


class Batcher:
    """The queue and the thread that works it off.

    Args:
        model: The first.
        max_batch: Robots in a pass at most; one, where they would change each other's chunks.
    """

    def __init__(self, model: Model, *, max_batch: int) -> None:
        self._model = model
        self._next: Model | None = None
        self._max_batch = max_batch
        self._pace = Pace(model.pass_s)
        self._queue: list[Job] = []
        self._forget: list[str] = []
        self._ending = False
        self._busy_since: float | None = None
        self._batch = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def model(self) -> Model:
        """That answers now."""
        return self._model

    @property
    def newest(self) -> Model:
        """That answers whoever asks from now on: after the pass that runs it is ``model``."""
        return self._next or self._model

    @property
    def max_batch(self) -> int:
        """Robots that share a pass of the model that answers now."""
        return self._max_batch if self._model.loaded.engine.independent else 1

    @property
    def pass_s(self) -> float:
        """What a robot that asks alone may expect of the model that answers now."""
        with self._changed:
            return self._pace.seconds(1)

    @property
    def alive(self) -> bool:
        """Whether anything is still answered."""
        return self._thread.is_alive()

    @property
    def busy_s(self) -> float:
        """How long the pass that runs has taken by now."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def put(self, job: Job) -> None:
        """Queue a question.

        Raises:
            ShedError: it could not be answered in time.
        """
        with self._changed:
            place = next((i for i, j in enumerate(self._queue) if j.session == job.session), None)
            self._admit(job, len(self._queue) if place is None else place)
            if place is None:
                self._queue.append(job)
                older = None
            else:
                older, self._queue[place] = self._queue[place], job
            self._changed.notify()
        if older is not None:
            older.done(SupersededError("a newer question of this session came"))

    def withdraw(self, job: Job) -> None:
        """Nobody waits for it any more."""
        with self._changed:
            if job in self._queue:
                self._queue.remove(job)

    def forget(self, history: str) -> None:
        """Drop what the policy remembers of a session, before the next pass."""
        with self._changed:
            self._forget.append(history)

    def swap(self, model: Model, misfits: Collection[str]) -> None:
        """Answer with another model from the next pass on.

        Args:
            model: The new one.
            misfits: Sessions that it doesn't fit; what they asked gets no answer.
        """
        with self._changed:
            self._next = model
            void = [job for job in self._queue if job.session in misfits]
            self._queue = [job for job in self._queue if job not in void]
            self._changed.notify()
        for job in void:
            job.done(SupersededError("the server has another model"))

    def end(self, timeout_s: float) -> None:
        """End after the pass that runs; what is queued gets no answer."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(timeout_s)

    # ---------------------------------------------------------------------------------------

    def _admit(self, job: Job, place: int) -> None:
        """Raises: ShedError. An idle model tries whatever comes: only so it learns that it has
        become faster."""
        if self._busy_since is None and place == 0:
            return
        running_s = max(0.0, self._pace.seconds(self._batch) - self.busy_s) if self._batch else 0.0
        passes, rest = divmod(place + 1, self.max_batch)
        needed_s = running_s + passes * self._pace.seconds(self.max_batch)
        needed_s += self._pace.seconds(rest) if rest else 0.0
        late_s = time.monotonic() + needed_s - job.deadline
        if late_s > 0:
            raise ShedError(max(_SOONEST_S, late_s))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._queue or self._next or self._ending):
                    self._changed.wait()
                if self._ending:
                    return
                self._take_model()
                for history in self._forget:
                    self._model.loaded.engine.forget(history)
                self._forget.clear()
                jobs, expired = self._take_jobs()
                if jobs:
                    self._busy_since, self._batch = time.monotonic(), len(jobs)
            for job in expired:
                job.done(ExpiredError("the answer would come too late"))
            if jobs:
                self._pass(jobs)
                with self._changed:
                    self._busy_since, self._batch = None, 0

    def _take_model(self) -> None:
        if self._next is not None:
            self._model, self._next = self._next, None
            self._pace = Pace(self._model.pass_s)

    def _take_jobs(self) -> tuple[list[Job], list[Job]]:
        now = time.monotonic()
        expired = [job for job in self._queue if job.deadline <= now]
        waiting = [job for job in self._queue if job.deadline > now]
        size, first = 0, float("inf")
        for job in waiting[: self.max_batch]:
            first = min(first, job.deadline)
            if size and now + self._pace.seconds(size + 1) > first:
                break
            size += 1
        self._queue = waiting[size:]
        return waiting[:size], expired

    def _pass(self, jobs: Sequence[Job]) -> None:
        began = time.monotonic()
        model = self._model
        try:
            answers = model.predict([job.ask for job in jobs], [job.guiding for job in jobs])
        except INFERENCE_ERRORS as error:
            self._alone(jobs, error)
            return
        with self._changed:
            # Whoever queues reads it.
            self._pace.note(len(jobs), time.monotonic() - began)
        for job, answer in zip(jobs, answers, strict=True):
            job.done(Result(answer, model.digest, len(jobs), began - job.arrived))

    def _alone(self, jobs: Sequence[Job], error: Exception) -> None:
        """One robot's observation must not fail the others': each is asked by itself."""
        if len(jobs) == 1:
            jobs[0].done(error)
            return
        for job in jobs:
            with self._changed:
                # A pass by itself: that there are many says nothing of a model that hangs.
                self._busy_since, self._batch = time.monotonic(), 1
            self._pass([job])
