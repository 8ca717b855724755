"""Episodes on their way into the data set: saved one after the other, and then judged.

Neither holds up the next episode: saving has a thread, and judging has another one with less
priority, whose verdict comes seconds after ``saved``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.data.check.gate import check_episode
from agent.recorder.again import delete_newest, say_success
from agent.recorder.disk import GB
from agent.recorder.episode import OpenEpisode
from agent.recorder.failures import FAILURES
from agent.recorder.marks import marks_path, read_marks, write_marks
from agent.recorder.numbering import moved
from agent.recorder.repair import set_aside
from agent.recorder.retention import make_room, size_b
from agent.recorder.writer import EpisodeWriter, Saved
from robots.errors import DataError
from robots.replay.info import read_claims

logger = logging.getLogger(__name__)

_JUDGE_NICE = 15
_JUDGE_S = 5.0
_LET_BY_S = 0.02

Tell = Callable[..., None]
"""``tell(kind, **fields)``, from any thread."""


@dataclass(frozen=True)
class _Job:
    number: int
    episode: OpenEpisode
    whole: bool


class Saver:
    """Saves in the background.

    Args:
        writer: The data set.
        tell: Gets the answers.
        quota_gb: The most it may take; 0: no limit.
        delete_unused: Whether what was neither trained on nor pushed makes room too.
    """

    def __init__(
        self,
        writer: EpisodeWriter,
        tell: Tell,
        *,
        quota_gb: float = 0.0,
        delete_unused: bool = False,
    ) -> None:
        self.over_quota = False
        self._writer = writer
        self._tell = tell
        self._quota_gb = quota_gb
        self._delete_unused = delete_unused
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._judged: queue.SimpleQueue[tuple[int, int, int | None] | None] = queue.SimpleQueue()
        # Held by whoever goes by the numbers of episodes: deleting some changes those of others.
        self._numbering = threading.Lock()
        # Of each deletion the numbers, ascending, that its episodes had then.
        self._deletions: list[list[int]] = []
        self._room_due = False
        self._busy = False
        self._no_room_why = ""
        self._waiting: list[OpenEpisode] = []
        self._unsaved: list[_Job] = []
        # By control's numbers: where episodes are, as numbers were then, and which nobody wants.
        self._places: dict[int, tuple[int, int]] = {}
        self._dropped: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="saver")
        self._judge = threading.Thread(target=self._run_judge, name="judge", daemon=True)

    def start(self) -> None:
        """Begin, with what earlier sessions left unjudged."""
        self._thread.start()
        self._judge.start()
        # All: what has no verdict is not trained on.
        for index in range(self._writer.episodes):
            if self._unjudged(index):
                self._have_judged(index)
        self.make_room()

    @property
    def waiting_b(self) -> int:
        """Bytes of pictures of ended episodes that still wait for encoders."""
        return sum(episode.waiting_b for episode in list(self._waiting))

    def save(self, number: int, episode: OpenEpisode, *, whole: bool = True) -> None:
        """Save an episode that was ended.

        Args:
            number: By which control knows it.
            episode: Takes no more rows.
            whole: ``False``: recording it failed; as much as can be is saved.
        """
        self._waiting.append(episode)
        job = _Job(number, episode, whole)
        self._jobs.put(lambda: self._do(job))

    def drop(self, number: int) -> None:
        """Delete an episode that was handed to ``save``, whether it is saved by now or not."""
        self._dropped.add(number)
        self._jobs.put(lambda: self._drop(number))

    def mark(self, number: int, *, success: bool) -> None:
        """Keep what became of an episode that was handed to ``save``."""
        self._jobs.put(lambda: self._mark(number, success))

    def again(self) -> None:
        """Try once more what could not be saved: there is room on the disk again."""
        while self._unsaved:
            job = self._unsaved.pop()
            self.save(job.number, job.episode, whole=False)

    @property
    def needs_room(self) -> bool:
        """Whether the quota is to be looked at again though nothing was saved since: what was
        trained on or pushed meanwhile may make room, or a reader may have gone."""
        return self.over_quota or bool(self._no_room_why)

    def make_room(self) -> None:
        """Keep to the quota, as soon as nothing else is to be done."""
        if self._quota_gb:
            self._jobs.put(self._make_room)

    def check(self) -> None:
        """A recorder whose saver or judge died of a defect must end, and be started again: one that
        lives on takes frames and saves nothing, or has nothing trained on."""
        for thread in (self._thread, self._judge):
            if not thread.is_alive():
                raise RuntimeError(f"the {thread.name}'s thread has died, see the log above")

    def end(self) -> None:
        """Wait until all is saved; what is not judged by then is at the next start."""
        self._jobs.put(None)
        self._judged.put(None)
        for thread, limit_s in ((self._thread, None), (self._judge, _JUDGE_S)):
            if thread.is_alive():
                thread.join(limit_s)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._busy = True
            job()
            self._busy = False

    def _do(self, job: _Job) -> None:
        if job.number in self._dropped:
            job.episode.drop()
            self._waiting.remove(job.episode)
            return
        began = time.monotonic()
        try:
            saved = self._save(job)
        except FAILURES as error:
            # The boundary of this process: that is said, the episode's folder stays for the next
            # recorder, and recording goes on.
            logger.exception("an episode could not be saved")
            self._unsaved.append(job)
            message = f"{type(error).__name__}: {error}"
            self._tell("failed", episode=job.number, message=message)
        else:
            if saved is None:
                self._tell("discarded", episode=job.number, message="too short to keep")
            else:
                self._places[job.number] = (saved.index, len(self._deletions))
                self._tell("saved", **self._answer(job, saved, time.monotonic() - began))
                self._have_judged(saved.index, job.number)
                self.make_room()
        self._waiting.remove(job.episode)

    def _drop(self, number: int) -> None:
        for job in [job for job in self._unsaved if job.number == number]:
            self._unsaved.remove(job)
            job.episode.drop()
        try:
            # It may be waited for: what is recorded meanwhile is kept in folders of its own.
            with self._numbering:
                if (index := self._index(number)) is not None:
                    self._delete_newest(index)
        except FAILURES as error:
            logger.exception("an episode could not be deleted")
            self._dropped.discard(number)
            remedy = f"armada data delete {self._writer.root} --episodes={index}"
            message = f"episode {index} is recorded again and stays: {error}. Later: {remedy}"
            self._tell("failed", episode=number, message=message)
            if index is not None and self._unjudged(index):
                # While it was to go, its verdict was not wanted.
                self._have_judged(index, number)
            return
        writer = self._writer
        counts = {"episodes": writer.episodes, "frames": writer.frames}
        self._tell("dropped", episode=number, message="it is recorded again", **counts)

    def _delete_newest(self, index: int) -> None:
        root = self._writer.root
        if index != self._writer.episodes - 1:
            raise DataError("isn't the newest any more", field="episode", value=index)
        delete_newest(root, index)
        self._writer.recount()

    def _mark(self, number: int, success: bool) -> None:
        became = "success" if success else "failure"
        try:
            with self._numbering:
                if (index := self._index(number)) is None:
                    raise DataError("it isn't saved", field="episode", value=number)
                say_success(self._writer.root, index, success=success)
        except FAILURES as error:
            logger.exception("an episode could not be marked")
            message = f"an episode could not be marked as a {became}: {error}"
            self._tell("failed", episode=number, message=message)
        else:
            self._tell("marked", index=index, success=success, message=f"it is a {became}")

    def _index(self, number: int) -> int | None:
        """Where an episode of control's is now."""
        if number not in self._places:
            return None
        index, before = self._places[number]
        return moved(index, self._deletions[before:])

    def _make_room(self) -> None:
        self._room_due = True
        if not self._numbering.acquire(blocking=False):
            # An episode is being judged, with little priority: it isn't waited for.
            return
        self._room_due = False
        root = self._writer.root
        try:
            deleted = make_room(root, self._quota_gb, unused_too=self._delete_unused)
            if deleted:
                self._deletions.append(deleted)
                self._writer.recount()
                many = len(deleted)
                message = f"the oldest {many} episodes were deleted: the quota is reached"
                self._tell("deleted", episodes=many, message=message)
            self.over_quota = size_b(root) > self._quota_gb * GB
            self._no_room_why = ""
        except FAILURES as error:
            # Somebody reads the data set for minutes, or what is known of its use is damaged. That
            # there is nothing to delete is not known, so recording goes on.
            self._tell_once(f"the quota can't be kept now: {error}")
        finally:
            self._numbering.release()

    def _tell_once(self, why: str) -> None:
        if why != self._no_room_why:
            self._no_room_why = why
            logger.warning("%s", why)
            self._tell("quota", message=why)

    def _save(self, job: _Job) -> Saved | None:
        if job.whole:
            try:
                return self._writer.save(job.episode)
            except FAILURES:
                logger.exception("an episode can't be saved as it is: what can be read of it is")
        return self._writer.rescue(job.episode)

    def _answer(self, job: _Job, saved: Saved, seconds: float) -> dict[str, Any]:
        return {
            "episode": job.number,
            "index": saved.index,
            "length": saved.frames,
            "episodes": self._writer.episodes,
            "frames": self._writer.frames,
            "seconds": round(seconds, 3),
            "marks": saved.marks,
        }

    def _have_judged(self, index: int, number: int | None = None) -> None:
        self._judged.put((index, len(self._deletions), number))

    def _unjudged(self, index: int) -> bool:
        """Whether an episode has marks and no verdict. Marks that can't be read are set aside: what
        they said is lost, for which recording must not end."""
        root = self._writer.root
        try:
            marks = read_marks(root, index)
        except (OSError, ValueError) as error:
            message = f"the marks of episode {index} can't be read ({error})"
            with contextlib.suppress(OSError):
                aside = set_aside(root, [marks_path(root, index)])
                message += f" and were moved to {aside}"
                # None at all would mean that nothing is held against it.
                write_marks(root, index, {"lost": True})
            logger.warning("%s", message)
            self._tell("repaired", message=message)
            return True
        return bool(marks) and "verdict" not in marks

    def _run_judge(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _JUDGE_NICE)
        while (job := self._judged.get()) is not None:
            # A backlog holds the numbering for as long as it takes; who waits for it comes between.
            while self._busy or not self._jobs.empty():
                time.sleep(_LET_BY_S)
            with self._numbering:
                index = moved(job[0], self._deletions[job[1] :])
                # Of one that was dropped another may have the place by now.
                if index is not None and job[2] not in self._dropped:
                    self._judge_or_tell(index)
            if self._room_due:
                self.make_room()

    def _judge_or_tell(self, index: int) -> None:
        try:
            self._judge_one(index)
        except (*FAILURES, LookupError, TypeError) as error:
            logger.exception("an episode could not be judged")
            message = f"episode {index} could not be judged: {error}"
            self._tell("checked", index=index, verdict="", message=message)

    def _judge_one(self, index: int) -> None:
        root = self._writer.root
        report = check_episode(read_claims(root)[0], index)
        verdict = str(report.verdict)
        findings = [finding.to_json() for finding in report.findings]
        write_marks(
            root, index, read_marks(root, index) | {"verdict": verdict, "findings": findings}
        )
        reasons = "; ".join(str(finding["detail"]) for finding in findings)
        self._tell(
            "checked",
            index=index,
            verdict=verdict,
            findings=findings,
            message=f"episode {index} is {verdict}" + (f": {reasons}" if reasons else ""),
        )
