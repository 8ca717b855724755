"""Who talks to the control process: hello first, and events wait for who keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.control.operator_role import OperatorRole
from agent.control.peers import Peers
from agent.ipc import Channel, connect
from tests.helpers import wait_until


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    def relay(fields: dict[str, Any], role: str) -> None:
        peers.publish("event", fields | {"via": role})

    role = OperatorRole({"status": lambda args: 1}, dict, relay)
    peers = Peers(tmp_path / "s", {"supervisor": role, "link": role})
    yield peers
    peers.close()


def hear(peers: Peers, channel: Channel, kind: str) -> dict[str, Any]:
    def heard() -> dict[str, Any] | None:
        peers.poll()
        return next((m.fields | {"_": 1} for m in channel.receive() if m.kind == kind), None)

    return wait_until(heard, timeout_s=10)  # type: ignore[return-value]


def test_an_unknown_role_is_refused(peers: Peers, tmp_path: Path) -> None:
    channel = connect(tmp_path / "s")
    channel.send("hello", role="stranger")
    assert "role" in hear(peers, channel, "refused")["message"]


def test_events_wait_for_the_supervisor(peers: Peers, tmp_path: Path) -> None:
    link = connect(tmp_path / "s")
    link.send("hello", role="link", subscribe=True)
    link.send("event", event="link_up", cause="c", time=0.0, data={})
    assert hear(peers, link, "event")["via"] == "link"
    supervisor = connect(tmp_path / "s")
    supervisor.send("hello", role="supervisor", subscribe=True)
    assert hear(peers, supervisor, "event")["event"] == "link_up"


def test_commands_are_answered_and_unknown_ones_refused(peers: Peers, tmp_path: Path) -> None:
    channel = connect(tmp_path / "s")
    channel.send("hello", role="link")
    channel.send("command", id="1", name="status", args={})
    assert hear(peers, channel, "reply")["result"] == 1
    channel.send("command", id="2", name="dance", args={})
    assert "no such command" in hear(peers, channel, "reply")["error"]
