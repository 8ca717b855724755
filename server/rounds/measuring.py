"""What a release is worth to the robots that made it, measured on their held-out episodes."""

from __future__ import annotations

import dataclasses

from flwr.app import RecordDict

from agent.federation.wire import ORDER, Answer, Order
from robots.errors import FederationError
from server.rounds.asking import Reply
from server.rounds.folder import RoundFolder, read_json, write_json
from server.rounds.inspect import read_measurement
from server.rounds.progress import Progress, Seat
from server.rounds.replies import Emit, Replies


class Measuring:
    """Orders every node to measure, and keeps what they say.

    Args:
        folder: Of the round.
        progress: Where it is.
        order: What every node is told.
        replies: Sorts the replies.
        emit: Where events go.
    """

    def __init__(
        self,
        folder: RoundFolder,
        progress: Progress,
        order: Order,
        replies: Replies,
        emit: Emit,
    ) -> None:
        self._folder = folder
        self._progress = progress
        self._order = order
        self._replies = replies
        self._emit = emit
        self._path = folder.measured(progress.server_round)

    def question(self, node: str) -> RecordDict:
        return RecordDict({ORDER: self._order.to_record()})

    def on_reply(self, node: str, message: Reply) -> None:
        before = dataclasses.asdict(self._progress.seats[node])
        self._replies.look(
            node, message, self._order.job, finished=self._finished, earlier=self._earlier
        )
        if dataclasses.asdict(self._progress.seats[node]) != before:
            self._progress.save(self._folder)

    def tell(self) -> None:
        """The mean, weighted by held-out episodes; nothing if nobody measured it."""
        measured = read_json(self._path)
        episodes = sum(entry["episodes"] for entry in measured.values())
        if episodes:
            self._emit(
                "evaluated",
                server_round=self._progress.server_round,
                version=self._progress.release,
                robots=len(measured),
                episodes=episodes,
                error=sum(m["error"] * m["episodes"] for m in measured.values()) / episodes,
            )

    def _finished(self, seat: Seat, answer: Answer, content: RecordDict) -> None:
        error, episodes = read_measurement(content)
        entry = {"error": error, "episodes": episodes}
        write_json(self._path, read_json(self._path) | {seat.robot: entry})
        self._emit("measured", robot=seat.robot, version=self._progress.release, **entry)

    def _earlier(self, seat: Seat, answer: Answer, content: RecordDict) -> None:
        raise FederationError("wasn't ordered", field="answer.job", value=answer.job)
