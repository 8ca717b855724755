"""The private parts of Flower that the robot uses, and the release they were read in."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import pytest
from flwr.supernode import start_client_internal as loop

from agent.federation.flower_runtime import WRITTEN_FOR, watch_loop


def test_flower_is_the_release_that_this_was_written_for() -> None:
    assert version("flwr") == WRITTEN_FOR == "1.39.0"


def test_the_loop_that_is_watched_calls_its_two_halves_by_name() -> None:
    text = inspect.getsource(loop.start_client_internal)

    assert "_pull_and_store_message(" in text
    assert "_push_messages(" in text


def test_the_watch_is_told_of_answers_and_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    def push(*, send: object, push_object: object, state: object) -> None:
        assert callable(send)
        heard.append("trains")
        send("reply")

    monkeypatch.setattr(loop, "_pull_and_store_message", lambda **named: named["run"])
    monkeypatch.setattr(loop, "_push_messages", push)
    watch_loop(lambda: heard.append("alive"), lambda: heard.append("waits"))

    assert loop._pull_and_store_message(run=7) == 7
    loop._push_messages(send=lambda reply: heard.append(reply), push_object=print, state=None)

    assert heard == ["alive", "waits", "trains", "reply", "alive", "alive"]
