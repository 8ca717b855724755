"""Tells the fleet of a new release: a retained MQTT message, so that late robots hear it too."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from agent.link.messages import ReleaseNotice, Topics, encode
from server.config import ServerConfig
from server.registry.releases import Releases

_KEEPALIVE_S = 20

log = logging.getLogger(__name__)


class Announcer:
    """Keeps the retained message at the latest release.

    The client's thread connects and reconnects by itself; a broker that is away costs the server
    nothing but the announcement, which follows when it is back.

    Args:
        config: The server's.
        releases: The registry.
    """

    def __init__(self, config: ServerConfig, releases: Releases) -> None:
        self._topic = Topics(config.fleet, "").release
        self._address = config.address
        self._broker = config.broker_address
        self._releases = releases
        self._announced: int | None = None
        self._connected = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"armada-server-{config.fleet}"
        )
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.reconnect_delay_set(1, 30)

    def __enter__(self) -> Announcer:
        self._client.connect_async(*self._broker, keepalive=_KEEPALIVE_S)
        self._client.loop_start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def announce(self) -> None:
        """Announce what is new; call it every second or so."""
        latest = self._releases.latest
        if latest is None or latest == self._announced or not self._connected.is_set():
            return
        manifest = self._releases.manifest(latest)
        notice = ReleaseNotice(
            version=latest, digest=manifest["digest"], address=self._address, time=time.time()
        )
        self._client.publish(self._topic, encode(notice), qos=1, retain=True)
        self._announced = latest
        log.info("announced release %d on %s", latest, self._topic)

    def _on_connect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if not reason.is_failure:
            # A broker that came back without its memory has no retained message.
            self._announced = None
            self._connected.set()

    def _on_disconnect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        self._connected.clear()
