"""Asking nodes, without a SuperLink: what a real one does is in test_on_flower.py."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from flwr.app import Message, RecordDict
from google.protobuf.message import DecodeError

from robots.errors import FederationError
from server.rounds.asking import Asker, Pace, Reply
from tests.helpers import wait_until
from tests.server.rounds.answers import asked


class Grid:
    """Answers each question as soon as it is pulled."""

    def __init__(self) -> None:
        self.pushed: list[int] = []

    def get_node_ids(self) -> list[int]:
        return [7]

    def push_messages(self, messages: Iterable[Message]) -> Iterator[str]:
        for message in messages:
            self.pushed.append(message.metadata.dst_node_id)
            yield str(len(self.pushed))

    def pull_messages(self, ids: Iterable[str]) -> list[Message]:
        return [Message(content=RecordDict(), reply_to=asked()) for _ in ids]


@pytest.fixture
def grid() -> Grid:
    return Grid()


def test_a_reply_that_was_looked_at_a_moment_ago_is_no_error(grid: Grid) -> None:
    heard: list[str] = []
    entered, leave = threading.Event(), threading.Event()

    class Slow(Future[Any]):
        """The moment between the end of a pull and its future's being done."""

        def set_result(self, result: Any) -> None:
            entered.set()
            leave.wait()
            super().set_result(result)

    asker = Asker(
        grid,  # type: ignore[arg-type]
        kind="train",
        question=lambda node: RecordDict(),
        on_reply=lambda node, message: heard.append(node),
        pace=Pace(ask_s=0.0),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("concurrent.futures.thread._base.Future", Slow)
        asker.turn(["7"])
        assert entered.wait(30)
        asker.turn(["7"])
    leave.set()

    def both() -> bool:
        asker.turn([])
        return heard == ["7", "7"]

    wait_until(both, what="both replies are looked at")
    asker.close()


@pytest.mark.parametrize("error", [KeyError("abc"), ValueError("mismatch"), DecodeError("cut")])
def test_a_reply_that_flower_cannot_put_together_is_handed_over_as_such(
    grid: Grid, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def malformed(ids: Iterable[str]) -> list[Message]:
        raise error

    heard: list[tuple[str, Reply]] = []
    monkeypatch.setattr(grid, "pull_messages", malformed)
    asker = Asker(
        grid,  # type: ignore[arg-type]
        kind="train",
        question=lambda node: RecordDict(),
        on_reply=lambda node, reply: heard.append((node, reply)),
        pace=Pace(ask_s=60.0),
    )
    asker.turn(["7"])
    asker.turn(["7"])
    asker.close()

    ((node, reply),) = heard
    assert (node, type(reply)) == ("7", FederationError)
    assert type(error).__name__ in str(reply)
