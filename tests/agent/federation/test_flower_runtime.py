"""The private parts of Flower that the robot uses, and the release they were read in."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from flwr.supercore.run import RunNotRunningException
from flwr.supernode import start_client_internal as loop

from agent.federation.flower_runtime import WRITTEN_FOR, watch_loop

CALLS = {"pull_object": print, "confirm_message_received": print}


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

    assert loop._pull_and_store_message(run=7, **CALLS) == 7
    loop._push_messages(send=lambda reply: heard.append(reply), push_object=print, state=None)

    assert heard == ["alive", "waits", "trains", "reply", "alive", "alive"]


class Node:
    """What Flower's halves of the loop ask of a SuperNode's state."""

    def __init__(self) -> None:
        self.answers: list[Any] = []

    def get_messages(self, *, is_reply: bool) -> list[Any]:
        ready, self.answers = self.answers, []
        return ready

    def get_message_processing_duration(self, *, message_id: str) -> float:
        return 0.1

    def delete_messages(self, *, message_ids: list[str]) -> None: ...


def answer_to(question: str) -> Any:
    told = {"run_id": 1, "group_id": "", "message_type": "train", "reply_to_message_id": question}
    return SimpleNamespace(metadata=SimpleNamespace(**told, message_id=f"answer to {question}"))


def test_an_answer_does_not_wait_for_the_next_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower's own sending; a task of a run that ended has answered in the other one's place."""
    node, objects, sent = Node(), MagicMock(), []
    questions = iter([7, None, None])

    def send(message: Any, tree: object, seconds: float) -> tuple[set[str], str]:
        sent.append(message.metadata.message_id)
        return set(), "session"

    for name in ("_pull_and_store_message", "_push_messages"):
        monkeypatch.setattr(loop, name, getattr(loop, name))
    monkeypatch.setattr(loop, "_pull_and_store_message", lambda **named: next(questions))
    watch_loop(lambda: None, lambda: None)

    node.answers = [answer_to("an ended run")]
    assert loop._pull_and_store_message(state=node, **CALLS) == 7
    loop._push_messages(state=node, object_store=objects, send=send, push_object=print)
    node.answers = [answer_to("7")]
    assert loop._pull_and_store_message(state=node, **CALLS) is None
    assert loop._pull_and_store_message(state=node, **CALLS) is None

    assert sent == ["answer to an ended run", "answer to 7"]


@pytest.mark.parametrize("call", ["pull_object", "confirm_message_received"])
def test_a_message_whose_run_ends_while_it_comes_leaves_no_task(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Flower's own receiving. The executor would wait two hours for what never comes."""
    for name in ("_pull_and_store_message", "_push_messages"):
        monkeypatch.setattr(loop, name, getattr(loop, name))
    watch_loop(lambda: None, lambda: None)
    state, objects = MagicMock(), MagicMock()
    state.create_task.return_value = 5
    objects.preregister.return_value = ["array"]

    def ended(*args: object) -> bytes:
        raise RunNotRunningException

    received = loop._pull_and_store_message(
        state=state,
        object_store=objects,
        node_config={},
        receive=lambda: (answer_to("it"), "tree"),
        get_run=print,
        get_fab=print,
        trusted_entities=None,
        **{"pull_object": lambda *_: b"", "confirm_message_received": print, call: ended},
    )

    assert received is None
    assert state.finish_task.call_args.args == (5,)
    state.delete_messages.assert_called_once_with(message_ids=["answer to it"])
    objects.delete.assert_called_once_with("answer to it")
