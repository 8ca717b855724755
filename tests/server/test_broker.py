"""The fleet's own broker: configured, started and restarted by the server."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from robots.errors import ConfigError, LinkError
from server import broker as module
from server.broker import AUTOSAVE_S, await_broker, broker_spec
from tests.helpers import free_port, wait_until
from tests.mqtt import HOST, Broker, Listener


def retained(port: int) -> list[str]:
    listener = Listener(port)
    try:
        listener.say("armada/marker/a/status", {"state": "marker"})
        wait_until(lambda: "marker" in [s["state"] for s in listener.heard("/status")])
        return [s["state"] for s in listener.heard("/status") if s["state"] != "marker"]
    finally:
        listener.close()


def say_retained(port: int) -> None:
    listener = Listener(port)
    listener.say("armada/test/a/status", {"state": "running"}, retain=True)
    listener.close()


@pytest.mark.parametrize("name", ["central", "a folder with spaces"])
def test_what_is_retained_outlives_a_restart(tmp_path: Path, name: str) -> None:
    broker = Broker(tmp_path / name).start()
    say_retained(broker.port)
    broker.end()
    broker.start()
    try:
        assert retained(broker.port) == ["running"]
    finally:
        broker.end()


def test_and_a_crash_some_seconds_later(tmp_path: Path) -> None:
    folder = tmp_path / "central"
    broker = Broker(folder).start()
    say_retained(broker.port)
    saved = folder / "broker" / "mosquitto.db"
    wait_until(saved.exists, timeout_s=AUTOSAVE_S + 10, what="mosquitto saves by itself")
    broker.end(signal.SIGKILL)
    broker.start()
    try:
        assert retained(broker.port) == ["running"]
    finally:
        broker.end()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--broker.port={port}: can't be listened on"):
            broker_spec(tmp_path, HOST, port)


def test_so_is_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda name, path: None)
    with pytest.raises(ConfigError, match="apt-get install mosquitto"):
        broker_spec(tmp_path, HOST, free_port())


def test_waiting_for_a_broker_that_does_not_come(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="doesn't answer"):
        await_broker(HOST, free_port(), timeout_s=0.1)
