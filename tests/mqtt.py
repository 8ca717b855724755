"""What tests of the MQTT side need: a real broker, a client that hears everything, a robot host."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from agent.control.operator_role import OperatorRole
from agent.control.peers import Peers
from robots.errors import ConfigError
from server.broker import await_broker, broker_spec
from tests.helpers import free_port, wait_until

HOST = "127.0.0.1"

QUICK = pytest.mark.parametrize("link", [{"keepalive_s": 1}], indirect=True)
"""Who is silent for a second is taken for dead. On a busy host a link that is well may be."""


class Broker:
    """mosquitto as the server starts it."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Broker:
        spec = broker_spec(self._folder, HOST, self.port)
        with spec.log.open("ab") as log:
            self._process = subprocess.Popen(spec.argv, stdout=log, stderr=log)
        await_broker(HOST, self.port)
        return self

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None


class Listener:
    """Hears every message of every fleet, and says things."""

    def __init__(self, port: int) -> None:
        self.messages: list[MQTTMessage] = []
        self.subscribed = 0
        """How often: once for each connection. What is said before is not heard."""
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("armada/#", qos=1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        self._client.reconnect_delay_set(0.1, 0.2)
        self._client.connect(HOST, port)
        self._client.loop_start()
        wait_until(lambda: self.subscribed, what="the broker listens to the listener")

    def _on_subscribe(self, *_: Any) -> None:
        self.subscribed += 1

    def say(self, topic: str, payload: Any, *, retain: bool = False) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, data, qos=1, retain=retain).wait_for_publish(60)

    def heard(self, topic: str) -> list[dict[str, Any]]:
        """The messages on a topic whose end is given, in order."""
        return [json.loads(m.payload) for m in list(self.messages) if m.topic.endswith(topic)]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [e for e in self.heard("/event") if e["event"] == kind]

    def state(self) -> str | None:
        """What the robot last said of itself, or the broker of it."""
        said = self.heard("/status")
        return said[-1]["state"] if said else None

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Control:
    """The control process's side of the socket: the real listener and role, no arm behind."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.orders: list[tuple[str, dict[str, Any]]] = []
        self.told: list[dict[str, Any]] = []
        self.silent = False
        self._said: dict[str, Any] = {}
        self._outgoing: deque[tuple[str, dict[str, Any]]] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Control:
        role = OperatorRole(
            {
                "status": lambda args: self._said,
                **{name: self._handler(name) for name in ("stop", "clear", "task")},
            },
            lambda: {"robot": "robot1"},
            lambda event, role: self.told.append(event),
        )
        self._peers = Peers(self._path, {"link": role, "cli": role})
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _handler(self, name: str) -> Any:
        def handle(args: dict[str, Any]) -> dict[str, Any]:
            self.orders.append((name, args))
            if name == "task" and not args.get("task"):
                raise ConfigError("must be a text", field="task", value=args.get("task"))
            return {"obeyed": name}

        return handle

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self.silent:
                self._peers.poll()
                while self._outgoing:
                    self._peers.publish(*self._outgoing.popleft())
            time.sleep(0.005)

    def telemetry(self, **fields: Any) -> None:
        self._said = {"time": time.time(), "state": "running", **fields}
        self._outgoing.append(("telemetry", self._said))

    def event(self, kind: str, **data: Any) -> None:
        event = {"event": kind, "cause": f"a {kind}", "time": time.time(), "data": data}
        self._outgoing.append(("event", event))

    def end(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            self._peers.close()


class LinkProcess:
    """``python -m agent.link`` with a state folder of its own."""

    def __init__(self, folder: Path, port: int, control: Path, **config: Any) -> None:
        file_limit_b = config.pop("file_limit_b", 0)
        self.config = {
            "robot": "robot1",
            "fleet": "test",
            "host": HOST,
            "port": port,
            "control_socket": str(control),
            "state_dir": str(folder),
            "dataset_root": str(folder / "datasets"),
            "keepalive_s": 60,
            **config,
        }
        self._limit = (file_limit_b, file_limit_b) if file_limit_b else None
        self.log = folder / "link.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._copies: list[subprocess.Popen[bytes]] = []

    def start(self, **env: str) -> LinkProcess:
        # Through a pipe: a limit on the size of files is not one on the log.
        with self.log.open("ab") as log:
            copy = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent.link", f"--config={json.dumps(self.config)}"],
            stdout=copy.stdin,
            stderr=copy.stdin,
            env={**os.environ, **env},
            preexec_fn=self._set_limit if self._limit else None,
        )
        assert copy.stdin is not None
        copy.stdin.close()
        self._copies.append(copy)
        return self

    def _set_limit(self) -> None:
        assert self._limit is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limit)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def said(self, text: str) -> bool:
        return text in self.log.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def clean_up(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for copy in self._copies:
            copy.wait(60)


def order(
    listener: Listener, name: str, *, to: str = "robot1/", number: str = "1", **args: Any
) -> dict[str, Any]:
    """Give an order and return the reply."""
    listener.say(f"armada/test/{to}command", {"id": number, "name": name, "args": args})
    return wait_until(
        lambda: [r for r in listener.heard("/reply") if r["id"] == number],
        what=f"a reply to {name}",
    )[0]
