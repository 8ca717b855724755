"""The link: what it says and obeys (and survives: ``test_survives.py``), with a real broker, socket
and processes."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import wait_until
from tests.mqtt import QUICK, Broker, Control, LinkProcess, Listener, order

MakeLink = Callable[..., LinkProcess]


# What it says ----------------------------------------------------------------------------------


def test_says_who_it_is_and_what_control_reports(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    control.telemetry(late_ticks=7, made_up="kept")
    wait_until(lambda: [t for t in listener.heard("/telemetry") if t.get("late_ticks") == 7])
    assert listener.heard("/telemetry")[-1]["made_up"] == "kept"
    status = listener.heard("/status")[-1]
    assert (status["robot"], status["fleet"], status["state"]) == ("robot1", "test", "running")
    assert listener.events("link_up")


def test_a_change_of_state_is_said_at_once(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    began = time.monotonic()
    for state in ("stopped", "running") * 4:
        control.telemetry(state=state)
        wait_until(lambda state=state: listener.state() == state)
    assert time.monotonic() - began < 20, "what is only said in turn comes every five seconds"


def test_does_not_claim_that_an_arm_runs_whose_control_is_gone(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    control.end()
    wait_until(lambda: listener.state() == "waiting")


def test_or_whose_control_hangs(link: LinkProcess, listener: Listener, control: Control) -> None:
    control.silent = True
    wait_until(lambda: listener.state() == "waiting")


def test_goes_on_with_a_control_that_comes_back(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    control.end()
    wait_until(lambda: listener.state() == "waiting")
    control.start()

    def running() -> bool:
        control.telemetry()
        return listener.state() == "running"

    wait_until(running)
    assert order(listener, "clear")["ok"]


def test_stays_free_of_torch(link: LinkProcess) -> None:
    assert link.process is not None
    assert "torch" not in Path(f"/proc/{link.process.pid}/maps").read_text()


# How it ends -----------------------------------------------------------------------------------


def test_sigterm_says_offline_and_exits_with_0(link: LinkProcess, listener: Listener) -> None:
    assert link.end() == 0
    wait_until(lambda: listener.state() == "offline")


def test_sigterm_with_an_order_open(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    control.silent = True
    listener.say("armada/test/robot1/command", {"id": "1", "name": "stop"})
    listener.say("armada/test/robot1/command", b"nonsense")
    wait_until(lambda: listener.events("message_refused"))  # so the order was taken before
    assert link.end() == 0


def test_sigterm_while_the_broker_hangs(link: LinkProcess, broker: Broker) -> None:
    broker.send(signal.SIGSTOP)
    assert link.end() == 0


def test_sigterm_while_the_broker_is_away(link: LinkProcess, broker: Broker) -> None:
    broker.end(signal.SIGKILL)
    wait_until(lambda: link.said("link_down"))
    assert link.end() == 0


@QUICK
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_broker_says_that_a_dead_or_hung_link_is_offline(
    link: LinkProcess, listener: Listener, number: signal.Signals
) -> None:
    assert link.process is not None
    link.process.send_signal(number)
    wait_until(lambda: listener.state() == "offline")


def test_a_new_link_of_the_same_robot_is_not_offline(
    link: LinkProcess, broker: Broker, listener: Listener, control: Control, make_link: MakeLink
) -> None:
    link.end(signal.SIGKILL)
    make_link(broker.port).start()

    def running() -> bool:
        control.telemetry()
        return listener.state() == "running"

    wait_until(lambda: listener.state() == "offline")
    wait_until(running)


# Orders ----------------------------------------------------------------------------------------


def test_an_order_goes_to_control_and_its_answer_comes_back(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    reply = order(listener, "stop", reason="lunch")
    assert reply == {
        "id": "1",
        "robot": "robot1",
        "ok": True,
        "error": "",
        "result": {"obeyed": "stop"},
    }
    assert control.orders == [("stop", {"reason": "lunch"})]


def test_an_order_to_all(link: LinkProcess, listener: Listener, control: Control) -> None:
    assert order(listener, "stop", to="")["robot"] == "robot1"
    assert control.orders == [("stop", {})]


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("dance", {}, "no such command"),
        ("task", {"task": ""}, "must be a text"),
        ("pull", {"version": "newest"}, "must be a release's number"),
        ("pull", {"version": True}, "must be a release's number"),
        ("pull", {"version": -1}, "must be a release's number"),
        ("pull", {}, "knows no server"),
    ],
)
def test_a_refusal_says_why(
    link: LinkProcess, listener: Listener, name: str, args: dict[str, object], said: str
) -> None:
    reply = order(listener, name, **args)
    assert not reply["ok"]
    assert said in reply["error"]


def test_an_order_without_control_is_refused(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    control.end()
    wait_until(lambda: listener.state() == "waiting")
    assert "isn't there" in order(listener, "stop")["error"]


def test_an_order_that_control_takes_to_its_grave_is_refused(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    control.silent = True
    listener.say("armada/test/robot1/command", {"id": "1", "name": "stop"})
    listener.say("armada/test/robot1/command", b"nonsense")
    wait_until(lambda: listener.events("message_refused"))
    control.end()
    wait_until(lambda: listener.heard("/reply"))
    assert "went away" in listener.heard("/reply")[0]["error"]


def test_an_order_that_comes_twice_is_obeyed_once_and_answered_twice(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    order(listener, "stop")
    listener.say("armada/test/robot1/command", {"id": "1", "name": "stop", "args": {}})
    wait_until(lambda: len(listener.heard("/reply")) >= 2)
    assert len(control.orders) == 1


def test_a_stop_does_not_wait_for_a_rollback(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    listener.say("armada/test/robot1/command", {"id": "slow", "name": "rollback"})
    order(listener, "stop", number="quick")
    wait_until(lambda: len(listener.heard("/reply")) == 2)
    first, second = listener.heard("/reply")
    assert (first["id"], second["id"]) == ("quick", "slow")
    assert not second["ok"]  # this robot has no model yet
    assert "Traceback" not in second["error"]


def test_a_retained_order_is_refused(
    broker: Broker, listener: Listener, control: Control, make_link: MakeLink
) -> None:
    """A robot would obey it at each start: a retained shutdown would keep it down for good."""
    listener.say("armada/test/robot1/command", {"id": "old", "name": "stop"}, retain=True)
    make_link(broker.port).start()
    refused = wait_until(lambda: listener.events("message_refused"))
    assert "retained" in refused[0]["cause"]
    assert not control.orders


HOSTILE = {
    "empty": b"",
    "no JSON": b"stop!",
    "no text": b"\xff\xfe\x00",
    "no object": b"[1, 2]",
    "no fields": b"{}",
    "no name": b'{"id": "1"}',
    "a number as id": b'{"id": 1, "name": "stop"}',
    "an empty name": b'{"id": "1", "name": ""}',
    "a long id": json.dumps({"id": "x" * 1000, "name": "stop"}).encode(),
    "a list as args": b'{"id": "1", "name": "stop", "args": []}',
    "not a number": b'{"id": "1", "name": "stop", "args": {"x": NaN}}',
    "more than a float": b'{"id": "1", "name": "stop", "args": {"x": 1e999}}',
    "half a character": b'{"id": "1", "name": "task", "args": {"task": "\\ud800"}}',
    "nested": b'{"id": "1", "name": "stop", "args": {"x": ' + b"[" * 20 + b"]" * 20 + b"}}",
    "nested deeply": b'{"id": "1", "name": "stop", "args": ' + b'{"x":' * 9000 + b"0" + b"}" * 9001,
    "brackets": b"[" * 60_000,
    "large": json.dumps({"id": "1", "name": "stop", "args": {"x": "y" * 100_000}}).encode(),
    "a huge number": b'{"id": "1", "name": "stop", "args": {"x": ' + b"9" * 5000 + b"}}",
}


def test_hostile_messages_are_dropped_with_an_event_and_harm_nobody(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    for payload in HOSTILE.values():
        listener.say("armada/test/robot1/command", payload)
        listener.say("armada/test/command", payload)
        listener.say("armada/test/release", payload)

    def all_refused() -> bool:
        # Nothing at all is no release notice, and no fault: it clears the retained one.
        return len(listener.events("message_refused")) == 3 * len(HOSTILE) - 1

    wait_until(all_refused, what="an event for each")
    assert link.alive
    assert not control.orders
    assert order(listener, "stop")["ok"]
    assert not link.said("Traceback")


def test_a_flood_of_orders_is_bounded(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    control.silent = True
    for i in range(40):
        listener.say("armada/test/robot1/command", {"id": f"flood {i}", "name": "stop"})
    wait_until(lambda: listener.events("message_refused"))
    control.silent = False
    wait_until(lambda: len(listener.heard("/reply")) >= 16)
    assert order(listener, "clear")["ok"]
