"""What a reply is, before anybody looks at what it says: whose, about which job, and how often it
may be wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flwr.app import RecordDict

from agent.federation.wire import (
    BUSY,
    DECLINED,
    FAILED,
    FINISHED,
    HOT,
    OTHER_JOB,
    RUNNING,
    Answer,
)
from robots.errors import ArmadaError, FederationError
from server.rounds.asking import Reply
from server.rounds.inspect import read_answer
from server.rounds.progress import DONE, OPEN, OUT, SAME, Progress, Seat
from server.rounds.robots import KnownRobots
from server.rounds.seats import rival

Emit = Callable[..., None]

_PASSING = (BUSY, HOT, OTHER_JOB)
"""Reasons to decline that pass: such a robot is asked again."""

_MOST_BAD = 5
"""Replies of a node that can't be used; it isn't asked any more then."""

_TENTHS = 10
_LONGEST_REASON = 1000
_MOST_REASONS = 20


def joined(reasons: Sequence[str]) -> str:
    """Reasons of many robots in one: an event is sent in one message, and read by a person. Each
    was an event of its own already."""
    more = len(reasons) - _MOST_REASONS
    first = "; ".join(reasons[:_MOST_REASONS])
    return first if more <= 0 else f"{first}; and {more} more"


class Replies:
    """Sorts the replies of a phase: who it is, and what becomes of its seat.

    Args:
        progress: Of the round.
        known: Which robot answers from which node.
        online: Nodes that are there now.
        emit: Where events go.
    """

    def __init__(
        self,
        progress: Progress,
        known: KnownRobots,
        online: Callable[[], frozenset[str]],
        emit: Emit,
    ) -> None:
        self._progress = progress
        self._known = known
        self._online = online
        self._emit = emit
        self._told: dict[str, object] = {}

    def look(
        self,
        node: str,
        message: Reply,
        job: str,
        *,
        finished: Callable[[Seat, Answer, RecordDict], None],
        earlier: Callable[[Seat, Answer, RecordDict], None],
    ) -> None:
        """Take a reply.

        Args:
            node: Whose.
            message: As it came.
            job: What was ordered of this node.
            finished: Takes what that job brings when it is finished; what it raises is why that
                can't be used, and the robot is out.
            earlier: Takes an answer about another job; what it raises costs the reply.
        """
        seat = self._progress.seats[node]
        if seat.state != OPEN:
            return
        if isinstance(message, FederationError):
            self._bad(node, seat, str(message))
            return
        if message.has_error():
            # Flower's: the node is away, the ClientApp was killed, the question grew old.
            self._tell(node, seat, "unanswered", reason=_cut(message.error.reason))
            return
        try:
            answer = read_answer(message)
            self._sit(node, seat, answer.robot)
            if seat.state != OPEN:
                return
            if answer.job == job:
                self._take(node, seat, answer, message.content, finished)
            elif answer.state == FAILED and not answer.job:
                self._out(node, seat, answer.reason)
            else:
                earlier(seat, answer, message.content)
        except ArmadaError as error:
            self._bad(node, seat, str(error))

    def _sit(self, node: str, seat: Seat, robot: str) -> None:
        """One robot a node, one node a robot.

        Raises:
            FederationError: another node, which is there, answers by this name, or the node's key
                is another robot's.
        """
        owner = self._known.owner(node)
        if owner and owner != robot:
            raise FederationError(
                f"the node has the key of {owner}", field="answer.robot", value=robot
            )
        if seat.robot and seat.robot != robot:
            raise FederationError(f"was {seat.robot} before", field="answer.robot", value=robot)
        if not seat.robot:
            other = rival(self._progress, node, robot)
            if other is not None:
                at = next(n for n, s in self._progress.seats.items() if s is other)
                if at in self._online():
                    raise FederationError(
                        "another node answers by this name", field="answer.robot", value=robot
                    )
                if other.state == OPEN:
                    # The robot registered anew; its old node never comes back.
                    other.state = SAME
                else:
                    seat.robot, seat.state = robot, SAME
                    return
            seat.robot = robot
            self._known.answers_from(robot, node)

    def _take(
        self,
        node: str,
        seat: Seat,
        answer: Answer,
        content: RecordDict,
        finished: Callable[[Seat, Answer, RecordDict], None],
    ) -> None:
        if answer.state == RUNNING:
            tenth = _TENTHS * answer.step // max(1, answer.steps)
            self._tell(
                node,
                seat,
                "progress",
                on=(tenth, answer.reason),
                step=answer.step,
                steps=answer.steps,
                reason=answer.reason,
            )
        elif answer.state == DECLINED:
            passing = answer.reason.startswith(_PASSING)
            self._tell(
                node,
                seat,
                "declined",
                on=answer.reason.partition(":")[0],
                reason=answer.reason,
                final=not passing,
            )
            if not passing:
                seat.state, seat.reason = OUT, answer.reason
        elif answer.state == FINISHED:
            try:
                finished(seat, answer, content)
            except ArmadaError as error:
                self._out(node, seat, str(error))
            else:
                seat.state = DONE
        else:
            self._out(node, seat, answer.reason)

    def _bad(self, node: str, seat: Seat, reason: str) -> None:
        seat.bad += 1
        if seat.bad >= _MOST_BAD:
            self._out(node, seat, reason)
        else:
            self._emit("dropped", reason=_cut(reason), **_who(node, seat))

    def _out(self, node: str, seat: Seat, reason: str) -> None:
        seat.state, seat.reason = OUT, _cut(reason)
        self._emit("dropped", reason=seat.reason, **_who(node, seat))

    def _tell(self, node: str, seat: Seat, kind: str, *, on: object = None, **data: Any) -> None:
        """An event, if it is news of this node."""
        news = (kind, data["reason"] if on is None else on)
        if self._told.get(node) != news:
            self._told[node] = news
            self._emit(kind, **data, **_who(node, seat))


def _cut(reason: str) -> str:
    """A robot may name a tensor with a megabyte, and an event is sent in one message."""
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]} …"


def _who(node: str, seat: Seat) -> dict[str, str]:
    return {"node": node} | ({"robot": seat.robot} if seat.robot else {})
