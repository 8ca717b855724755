"""One normaliser for a fleet: what robots say of their frames, put together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from agent.federation.payload.statistics import FEATURES, Sums, normaliser, to_json
from agent.federation.wire import (
    ANSWER,
    FINISHED,
    REPORT,
    STATISTICS,
    Answer,
)
from robots.errors import FederationError
from server.base import Base
from server.rounds.pooling import Pooling, pooled_before
from server.rounds.progress import OUT, Seat
from server.rounds.replies import Replies
from server.rounds.spec import RoundSpec
from tests.server.rounds.answers import Round, asked


def statistics(*rows: list[float]) -> str:
    columns = list(zip(*rows, strict=True))
    sums = Sums(
        count=len(rows),
        total=[sum(c) for c in columns],
        squares=[sum(v * v for v in c) for c in columns],
        lowest=[min(c) for c in columns],
        highest=[max(c) for c in columns],
    )
    return to_json(dict.fromkeys(FEATURES, sums))


def begin(root: Path, base: Base) -> tuple[Round, Pooling]:
    begun = Round(root, base)
    emit = begun.folder.events.emit
    replies = Replies(begun.progress, begun.known, lambda: begun.online, emit)
    return begun, Pooling(begun.folder, begun.progress, base, replies, emit)


def stats(robot: str, text: str) -> Message:
    answer = Answer(job="", robot=robot, state=FINISHED)
    content = {ANSWER: answer.to_record(), REPORT: ConfigRecord({STATISTICS: text})}
    return Message(content=RecordDict(content), reply_to=asked())


ROWS = {
    "left": [[1.0, 2, 3, 4, 5, 6], [3.0, 5, 0, 1, 0, 1], [4.0, -1, 7, 1, 1, 1]],
    "right": [[9.0, 0.5, 0, 0, 0, 0]],
}


def test_statistics_are_pooled_as_over_all_frames(tmp_path: Path, base: Base) -> None:
    begun, pooling = begin(tmp_path, base)
    rows = ROWS

    pooling.on_reply("7", stats("left", statistics(*rows["left"])))
    with pytest.raises(FederationError, match="1 of 2 robots gave statistics"):
        pooling.pooled(RoundSpec(min_robots=2))
    begun.progress.seats["9"] = Seat()
    pooling.on_reply("9", stats("evil", '{"action": {}}'))
    pooling.on_reply("8", stats("right", statistics(*rows["right"])))

    text = pooling.pooled(RoundSpec(min_robots=2))
    pooled = normaliser(text)
    everything = np.array(rows["left"] + rows["right"])
    for feature in FEATURES:
        assert pooled[feature]["mean"] == pytest.approx(everything.mean(axis=0))
        assert pooled[feature]["std"] == pytest.approx(everything.std(axis=0))
    # The robots freeze it: it stays the fleet's in all rounds to come.
    assert pooled_before(begun.folder) == text
    assert begun.progress.seats["9"].state == OUT
    assert begun.last == ("pooled", {"robots": 2, "samples": 4})


def test_a_robot_of_another_kind_costs_its_own_reply(tmp_path: Path, base: Base) -> None:
    begun, pooling = begin(tmp_path, base)
    pooling.on_reply("7", stats("evil", statistics([1.0, 2.0, 3.0])))
    pooling.on_reply("8", stats("left", statistics(*ROWS["left"])))

    assert pooling.pooled(RoundSpec())
    assert begun.progress.seats["7"].state == OUT
    assert "has 3 numbers, the fleet's policy 6" in begun.progress.seats["7"].reason
    assert begun.last == ("pooled", {"robots": 1, "samples": 3})
