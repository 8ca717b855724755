"""The training of a round: what is ordered, and how the updates come to lie on the disk."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

from flwr.app import RecordDict

from agent.federation.wire import DECLINED, FAILED, FINISHED, ORDER, Answer, Order
from robots.errors import ArmadaError, FederationError
from server.aggregation.seen import SeenUpdates
from server.aggregation.stored import StoredUpdate
from server.rounds.asking import Reply
from server.rounds.folder import RoundFolder
from server.rounds.inspect import Update, read_update
from server.rounds.jobs import counts
from server.rounds.late import wanted_late
from server.rounds.progress import DONE, Progress, Seat
from server.rounds.replies import Emit, Replies
from server.rounds.robots import KnownRobots
from server.rounds.starts import Starts

_TOLD_RECEIVED = 8


class Training:
    """Orders one job of every node and stores what comes of it.

    Args:
        folder: Of the round.
        progress: Where it is.
        order: What every node is told; what follows from the robot is filled in for each.
        starts: Weights that jobs start from.
        known: What the server has of whom.
        replies: Sorts the replies.
        emit: Where events go.
        seen: Updates that this server has had.
    """

    def __init__(
        self,
        folder: RoundFolder,
        progress: Progress,
        order: Order,
        starts: Starts,
        known: KnownRobots,
        replies: Replies,
        emit: Emit,
        seen: SeenUpdates,
    ) -> None:
        self._folder = folder
        self._progress = progress
        self._order = order
        self._starts = starts
        self._known = known
        self._replies = replies
        self._emit = emit
        self._seen = seen
        self._unwanted: set[str] = set()
        """Nodes with an earlier job that nobody wants."""
        # An earlier round is over: what counts of it doesn't change.
        self._counts = functools.cache(functools.partial(counts, folder.path.parent))

    def go_on(self) -> None:
        """What lies on the disk was given: a ServerApp that was killed may not have come to say so
        everywhere else, and a robot that is asked again for what it gave would train it anew."""
        events = self._folder.events.read()
        told = {e.data["update_digest"] for e in events if e.kind in ("reply", "late")}
        for update in StoredUpdate.read_all(self._folder.updates(self._progress.server_round)):
            own = update.job == self._order.job
            self._remember(update.robot, update.job, update.update_digest)
            if update.update_digest not in told:
                self._emit("reply" if own else "late", **update.report)
            if own and (seat := self._progress.seats.get(update.node)):
                seat.robot, seat.state = update.robot, DONE
        self._progress.save(self._folder)

    def question(self, node: str) -> RecordDict:
        """The order as a node gets it now."""
        robot = self._progress.seats[node].robot or self._known.name(node)
        told = self._known.received(robot)[-_TOLD_RECEIVED:]
        order = dataclasses.replace(
            self._order,
            received=tuple(job for job in told if self._counts(job)),
            abandoned=tuple(job for job in told if not self._counts(job)),
            late_wanted=self._order.late_wanted and node not in self._unwanted,
        )
        return RecordDict({ORDER: order.to_record()})

    def on_reply(self, node: str, message: Reply) -> None:
        """Take a reply; on disk is where the round is, before anything else happens."""

        def finished(seat: Seat, answer: Answer, content: RecordDict) -> None:
            self._finished(node, seat, answer, content)

        def earlier(seat: Seat, answer: Answer, content: RecordDict) -> None:
            self._earlier(node, seat, answer, content)

        before = dataclasses.asdict(self._progress.seats[node])
        self._replies.look(node, message, self._order.job, finished=finished, earlier=earlier)
        if dataclasses.asdict(self._progress.seats[node]) != before:
            self._progress.save(self._folder)

    def _finished(self, node: str, seat: Seat, answer: Answer, content: RecordDict) -> None:
        update = read_update(
            content,
            answer,
            start=self._starts.load(self._progress.start_version),
            start_digest=self._progress.start_digest,
            encoding=self._order.encoding,
        )
        self._store(node, seat, answer, update, f"{seat.robot}.safetensors", "reply")

    def _earlier(self, node: str, seat: Seat, answer: Answer, content: RecordDict) -> None:
        """A job of before: its update is folded into this round, or it is told that it is over."""
        received = self._known.received(seat.robot)
        if answer.job in received and (self._here(seat, answer.job) or answer.state != FINISHED):
            return  # It hasn't heard yet that it was received.
        try:
            if not self._order.late_wanted:
                raise FederationError("came late", field="job", value=answer.job)
            ordered, behind = wanted_late(
                self._folder.path.parent, answer.job, self._progress, received
            )
            if ordered.base_digest != self._order.base_digest:
                raise FederationError("is of another base policy", field="job", value=answer.job)
            if answer.state in (FAILED, DECLINED):
                raise FederationError(
                    f"{answer.state}: {answer.reason}", field="job", value=answer.job
                )
            if answer.state != FINISHED:
                return
            update = read_update(
                content,
                answer,
                start=self._starts.load(ordered.start_version),
                start_digest=ordered.start_digest,
                encoding=ordered.encoding,
            )
        except ArmadaError:
            self._unwanted.add(node)
            raise
        self._store(
            node,
            seat,
            answer,
            update,
            _late_name(seat, answer.job),
            "late",
            encoding=ordered.encoding,
            start_digest=ordered.start_digest,
            start_version=ordered.start_version,
            staleness=behind,
        )

    def _here(self, seat: Seat, job: str) -> bool:
        """Whether the update of an earlier job is this round's."""
        folder = self._folder.updates(self._progress.server_round)
        return (folder / _late_name(seat, job)).exists()

    def _store(
        self,
        node: str,
        seat: Seat,
        answer: Answer,
        update: Update,
        name: str,
        kind: str,
        *,
        encoding: str = "",
        start_digest: str = "",
        start_version: int | None = None,
        staleness: int = 0,
    ) -> None:
        self._seen.check(seat.robot, answer.job, update.digest)
        version = self._progress.start_version if start_version is None else start_version
        report: dict[str, Any] = {
            **update.report,
            "robot": seat.robot,
            "node": node,
            "job": answer.job,
            "server_round": self._progress.server_round,
            "staleness": staleness,
        }
        own = version == self._progress.start_version
        path: Path = self._folder.updates(self._progress.server_round) / name
        StoredUpdate.write(
            path,
            update.wire,
            self._starts.load(version),
            robot=seat.robot,
            node=node,
            job=answer.job,
            samples=update.samples,
            encoding=encoding or self._order.encoding,
            start_digest=start_digest or self._progress.start_digest,
            update_digest=update.digest,
            length=self._starts.length(version),
            staleness=staleness,
            start_file=None if own else self._starts.file(version),
            report=report,
        )
        self._remember(seat.robot, answer.job, update.digest)
        self._emit(kind, **report)

    def _remember(self, robot: str, job: str, digest: str) -> None:
        self._seen.add(robot, job, digest)
        self._known.note_received(robot, job)


def _late_name(seat: Seat, job: str) -> str:
    """Of a late update's file. The job is one that this server ordered: the name that a robot says
    is no part of a path before it was found among those."""
    return f"{seat.robot}+{job}.safetensors"
