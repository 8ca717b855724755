"""What the link survives, and what nobody loses by it. Real broker, socket and processes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import free_port, wait_until
from tests.mqtt import QUICK, Broker, Control, LinkProcess, Listener

MakeLink = Callable[..., LinkProcess]


def numbers(listener: Listener) -> list[int]:
    """Of the events that ``control.event("counted", number=…)`` gave, each once, as they came."""
    ids = {e["id"]: e["data"]["number"] for e in listener.events("counted")}
    return list(ids.values())


def up_again(broker: Broker, listener: Listener, link: LinkProcess) -> None:
    """The broker is back, and the listener before the link: it hears all that was kept."""
    assert link.process is not None
    subscribed = listener.subscribed
    link.process.send_signal(signal.SIGSTOP)
    broker.start()
    wait_until(lambda: listener.subscribed > subscribed, what="the listener is back")
    link.process.send_signal(signal.SIGCONT)


def test_a_broker_that_is_not_there_yet(
    tmp_path: Path, control: Control, make_link: MakeLink
) -> None:
    port = free_port()
    link = make_link(port).start()
    wait_until(lambda: link.said("link_down"))
    assert link.process is not None
    link.process.send_signal(signal.SIGSTOP)
    broker = Broker(tmp_path / "central", port).start()
    listener = Listener(port)
    link.process.send_signal(signal.SIGCONT)
    try:
        wait_until(lambda: listener.events("link_up"))
    finally:
        listener.close()
        broker.end()


def test_no_event_is_lost_while_the_broker_is_dead(
    link: LinkProcess, broker: Broker, listener: Listener, control: Control
) -> None:
    for i in range(5):
        control.event("counted", number=i)
    wait_until(lambda: numbers(listener) == [0, 1, 2, 3, 4])
    broker.end(signal.SIGKILL)
    for i in range(5, 25):
        control.event("counted", number=i)
    wait_until(lambda: link.said("link_down"))
    up_again(broker, listener, link)
    wait_until(lambda: len(numbers(listener)) == 25)
    assert numbers(listener) == [*range(25)]
    wait_until(lambda: listener.events("link_down"))
    wait_until(lambda: len(listener.events("link_up")) >= 2)


@QUICK
def test_no_event_is_lost_while_the_broker_hangs(
    link: LinkProcess, broker: Broker, listener: Listener, control: Control
) -> None:
    broker.send(signal.SIGSTOP)
    for i in range(10):
        control.event("counted", number=i)
    wait_until(lambda: link.said("link_down"))
    broker.send(signal.SIGCONT)
    wait_until(lambda: len(numbers(listener)) == 10)
    assert numbers(listener) == [*range(10)]

    def running() -> bool:
        control.telemetry()
        return listener.state() == "running"

    wait_until(running)


def test_events_outlive_the_link(
    link: LinkProcess, broker: Broker, listener: Listener, control: Control, make_link: MakeLink
) -> None:
    broker.end(signal.SIGKILL)
    wait_until(lambda: link.said("link_down"))
    for i in range(10):
        control.event("counted", number=i)
    outbox = Path(link.config["state_dir"]) / "outbox.jsonl"
    wait_until(lambda: outbox.read_text().count("counted") >= 10)
    link.end(signal.SIGKILL)
    subscribed = listener.subscribed
    broker.start()
    wait_until(lambda: listener.subscribed > subscribed, what="the listener is back")
    make_link(broker.port).start()
    wait_until(lambda: len(numbers(listener)) == 10)
    assert numbers(listener) == [*range(10)]


def test_an_event_too_large_for_the_broker_does_not_hold_up_the_others(
    link: LinkProcess, listener: Listener, control: Control
) -> None:
    control.event("counted", number=1, ballast="x" * 2_000_000)
    control.event("counted", number=2)
    wait_until(lambda: [e for e in listener.events("counted") if e["data"].get("number") == 2])
    assert "dropped" in listener.events("counted")[0]["data"]


def test_a_full_disk_costs_the_file_and_not_the_line(
    broker: Broker, listener: Listener, control: Control, make_link: MakeLink
) -> None:
    link = make_link(broker.port, file_limit_b=4000).start()
    wait_until(lambda: listener.events("link_up"))
    broker.end(signal.SIGKILL)
    wait_until(lambda: link.said("link_down"))
    for i in range(30):
        control.event("counted", number=i, ballast="x" * 300)
    wait_until(lambda: link.said("aren't kept on disk"))
    up_again(broker, listener, link)
    wait_until(lambda: len(numbers(listener)) == 30)
    assert numbers(listener) == [*range(30)]
    assert link.alive


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"password_env": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE"),
        ({"tls_ca": "/no/such.pem"}, "/no/such.pem"),
        ({"tls_ca": __file__}, "holds no certificate"),
        ({"keepalive_s": 0}, "keepalive_s=0"),
    ],
)
def test_a_config_that_can_never_work_is_refused_in_one_line(
    make_link: MakeLink, config: dict[str, object], said: str
) -> None:
    link = make_link(free_port(), **config).start()
    assert link.process is not None
    assert link.process.wait(60) == 2
    assert link.said(said)
    assert not link.said("Traceback")


def test_the_host_is_told_of_the_links_own_events(link: LinkProcess, control: Control) -> None:
    """They land in the agent's event log, which the supervisor writes."""
    wait_until(lambda: [e for e in control.told if e["event"] == "link_up"])
