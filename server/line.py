"""The fleet service's one connection to the broker: it announces, and hears the robots."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from robots.errors import ConfigError
from server.config import ServerConfig

_KEEPALIVE_S = 20

log = logging.getLogger(__name__)


class BrokerLine:
    """Connects, and again when the connection is lost.

    The client's thread does it by itself; a broker that is away costs the server nothing but what
    is said meanwhile. The session outlives a connection: what robots say at QoS 1 while this
    process is down waits at the broker.

    Args:
        config: The server's.
        topics: What to hear.
        hear: Gets topic and payload, in the client's thread.

    Raises:
        ConfigError: the CA file holds no certificate.
    """

    def __init__(
        self, config: ServerConfig, topics: Sequence[str], hear: Callable[[str, bytes], None]
    ) -> None:
        broker = config.broker
        self._address = config.broker_address
        self._topics = [(topic, 1) for topic in topics]
        self._hear = hear
        self._connected = threading.Event()
        self.connections = 0
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"armada-server-{config.fleet}",
            clean_session=False,
        )
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password)
        if broker.tls_ca:
            self._client.tls_set_context(_context(broker.tls_ca))
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 30)

    def __enter__(self) -> BrokerLine:
        self._client.connect_async(*self._address, keepalive=_KEEPALIVE_S)
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

    @property
    def connected(self) -> bool:
        return self._connected.is_set()

    def say(self, topic: str, payload: bytes) -> None:
        """A retained message, at least once, as soon as the broker takes it."""
        self._client.publish(topic, payload, qos=1, retain=True)

    def _on_connect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if reason.is_failure:
            log.warning("the broker refuses this server: %s", reason)
            return
        if self._topics:
            client.subscribe(self._topics)
        self.connections += 1
        self._connected.set()

    def _on_disconnect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        self._connected.clear()

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        try:
            self._hear(message.topic, bytes(message.payload))
        except OSError as error:
            # A full disk; robots carry their last decisions along, every few seconds.
            log.error("%s can't be kept: %s", message.topic, error)


def _context(tls_ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=tls_ca)
    except OSError as error:
        raise ConfigError("holds no certificate", field="--broker.tls_ca", value=tls_ca) from error
