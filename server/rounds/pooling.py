"""One normaliser for all robots of a round: exact, from what their frames add up to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from flwr.app import RecordDict

from agent.federation.wire import REPORT, STATISTICS, Answer
from agent.policy.atomic import write_text
from robots.errors import FederationError
from server.base import Base
from server.rounds.asking import Reply
from server.rounds.folder import RoundFolder, read_json, write_json
from server.rounds.progress import Progress, Seat
from server.rounds.replies import Emit, Replies, joined
from server.rounds.spec import RoundSpec

_NO_JOB = ""
_LONGEST = 1_000_000


def pooled_before(folder: RoundFolder) -> str:
    """The normaliser of an earlier round, empty if there is none. It stays the fleet's for good:
    the robots have frozen it, and what they learned since was learned with it."""
    path = _kept(folder)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _kept(folder: RoundFolder) -> Path:
    return folder.path.parent / "normaliser.json"


class Pooling:
    """Asks every node for its statistics, and puts them together.

    Args:
        folder: Of the round.
        progress: Where it is.
        base: The fleet's policy, which says how many numbers a state and an action have.
        replies: Sorts the replies.
        emit: Where events go.
    """

    def __init__(
        self, folder: RoundFolder, progress: Progress, base: Base, replies: Replies, emit: Emit
    ) -> None:
        self._folder = folder
        self._progress = progress
        self._widths = _widths(base)
        self._replies = replies
        self._emit = emit
        self._path = folder.path / "statistics.json"

    def question(self, node: str) -> RecordDict:
        """There is nothing to say: the type of the message asks."""
        return RecordDict()

    def on_reply(self, node: str, message: Reply) -> None:
        before = dataclasses.asdict(self._progress.seats[node])
        self._replies.look(node, message, _NO_JOB, finished=self._finished, earlier=self._earlier)
        if dataclasses.asdict(self._progress.seats[node]) != before:
            self._progress.save(self._folder)

    def pooled(self, spec: RoundSpec) -> str:
        """The normaliser as an order carries it, JSON.

        Raises:
            FederationError: fewer robots than ``min_robots`` said something, or what they said
                doesn't go together.
        """
        from agent.federation.payload.statistics import FEATURES, from_json, pool

        said = {robot: from_json(text) for robot, text in read_json(self._path).items()}
        if len(said) < spec.min_robots:
            reasons = joined([s.reason for s in self._progress.seats.values() if s.reason])
            raise FederationError(
                f"{len(said)} of {spec.min_robots} robots gave statistics: "
                f"{reasons or 'no robot answered'}"
            )
        frames = sum(robot[FEATURES[0]].count for robot in said.values())
        self._emit("pooled", robots=len(said), samples=frames)
        text = json.dumps(pool([said[robot] for robot in sorted(said)]), allow_nan=False)
        write_text(_kept(self._folder), text)
        return text

    def _finished(self, seat: Seat, answer: Answer, content: RecordDict) -> None:
        from agent.federation.payload.statistics import from_json

        report = content.config_records.get(REPORT) or {}
        text = report.get(STATISTICS)
        if not isinstance(text, str) or len(text) > _LONGEST:
            raise FederationError("must be a text", field=STATISTICS)
        for name, sums in from_json(text).items():
            width, wanted = len(sums.total), self._widths.get(name)
            if wanted is not None and width != wanted:
                # Here it costs this robot; put together with the others' it would cost the round.
                raise FederationError(
                    f"has {width} numbers, the fleet's policy {wanted}",
                    field=f"{STATISTICS}.{name}",
                )
        write_json(self._path, read_json(self._path) | {seat.robot: text})

    def _earlier(self, seat: Seat, answer: Answer, content: RecordDict) -> None:
        raise FederationError("wasn't asked about", field="answer.job", value=answer.job)


def _widths(base: Base) -> dict[str, int]:
    """Numbers of each feature, as the policy has them."""
    path = base.pretrained_model / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    features = config["input_features"] | config["output_features"]
    return {name: feature["shape"][0] for name, feature in features.items()}
