"""The remote worker and a server that is too busy, or busy with what nobody wants any more."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from server.policy.batcher import Batcher, ShedError
from server.policy.model import Model
from server.policy.sessions import Sessions
from tests.agent.policy.remote.background import Background
from tests.agent.policy.remote.test_worker import WAIT_S, Worker
from tests.helpers import wait_until


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The server sheds every question while it is set."""
    busy = threading.Event()
    admit = Batcher._admit

    def shedding(self: Batcher, *words: Any) -> None:
        if busy.is_set():
            raise ShedError(0.05)
        admit(self, *words)

    monkeypatch.setattr(Batcher, "_admit", shedding)
    return busy


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The robots that opened a session, each time."""
    opened: list[str] = []
    welcome = Sessions.open

    def counting(self: Sessions, robot: str, *words: Any) -> Any:
        opened.append(robot)
        return welcome(self, robot, *words)

    monkeypatch.setattr(Sessions, "open", counting)
    return opened


def test_a_server_that_sheds_keeps_the_session(
    folder: Path, server: Background, model: Model, busy: threading.Event, opened: list[str]
) -> None:
    server.up(model)
    worker = Worker(folder, server.address)
    try:
        assert worker.next("link")["up"] is True
        busy.set()
        for _ in range(5):
            worker.observe()
            answer = worker.next("link", "chunk", "error")
            assert (answer.kind, answer["again_s"]) == ("error", 0.0), "it waited itself"
        busy.clear()
        worker.observe()
        assert worker.next("link", "chunk", "error").kind == "chunk"
        assert len(opened) == 1
    finally:
        worker.end()


def test_what_a_question_can_not_wait_for_is_left_to_control(
    folder: Path, server: Background, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question ends at its deadline; the next one is to go later still."""

    def full(*_: Any) -> None:
        raise ShedError(50.0)

    server.up(model)
    worker = Worker(folder, server.address)
    try:
        assert worker.next("link")["up"] is True
        assert worker.ask().kind == "chunk"
        monkeypatch.setattr(Batcher, "_admit", full)
        assert 0 < worker.ask()["again_s"] < 50
    finally:
        worker.end()


def test_a_robot_with_a_policy_of_its_own_leaves_a_server_that_sheds(
    folder: Path, server: Background, model: Model, busy: threading.Event
) -> None:
    server.up(model)
    worker = Worker(folder, server.address, fallback=True)
    try:
        assert worker.next("link")["up"] is True
        busy.set()
        for _ in range(3):
            worker.observe()
            assert worker.next("link", "chunk", "error").kind == "error"
        assert worker.next("link")["up"] is False
    finally:
        worker.end()


def test_a_question_after_a_reset_takes_the_place_of_the_one_that_waits(
    folder: Path, server: Background, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, begun = threading.Event(), threading.Semaphore(0)
    predict = Model.predict

    def gated(self: Model, *words: Any) -> Any:
        begun.release()
        assert go_on.wait(WAIT_S)
        return predict(self, *words)

    monkeypatch.setattr(Model, "predict", gated)
    server.up(model)
    worker = Worker(folder, server.address)
    try:
        assert worker.next("link")["up"] is True
        computed = worker.observe(epoch=1)
        assert begun.acquire(timeout=WAIT_S)
        waits = worker.observe(epoch=2)
        wait_until(lambda: server.service._batcher._queue, what="it is queued")
        newest = worker.observe(epoch=3)
        ended = worker.next("link", "chunk", "error")
        assert (ended.kind, ended["request"]) == ("error", waits)
        go_on.set()
        answers = [worker.next("link", "chunk", "error") for _ in range(2)]
        assert [(a.kind, a["request"], a["epoch"]) for a in answers] == [
            ("chunk", computed, 1),
            ("chunk", newest, 3),
        ]
    finally:
        go_on.set()
        worker.end()
