"""Watches a fleet over MQTT and keeps what it hears, for the table and the plots."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion


class FleetWatch:
    """Telemetry and events of all robots since the start.

    Args:
        port: Of the broker on this machine.
        fleet: Its name.
    """

    def __init__(self, port: int, fleet: str) -> None:
        self._lock = threading.Lock()
        self._telemetry: dict[str, list[dict[str, Any]]] = {}
        self._events: dict[str, list[dict[str, Any]]] = {}
        self._fleet = fleet
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def latest(self, robot: str) -> dict[str, Any]:
        """The last telemetry of a robot; empty before the first."""
        with self._lock:
            series = self._telemetry.get(robot)
            return series[-1] if series else {}

    def series(self, robot: str) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._telemetry.get(robot, []))

    def events(self, robot: str, *kinds: str) -> list[dict[str, Any]]:
        """What happened to a robot, in order; only of these kinds if any are named."""
        with self._lock:
            heard = list(self._events.get(robot, []))
        return [e for e in heard if not kinds or e["event"] in kinds]

    def _on_connect(self, client: Client, *rest: Any) -> None:
        client.subscribe([(f"armada/{self._fleet}/+/telemetry", 0)])
        client.subscribe([(f"armada/{self._fleet}/+/event", 1)])

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        _, _, robot, kind = message.topic.split("/")
        said: dict[str, Any] = json.loads(message.payload)
        with self._lock:
            if kind == "telemetry":
                said["heard"] = time.time()
                self._telemetry.setdefault(robot, []).append(said)
            else:
                self._events.setdefault(robot, []).append(said)
