"""Tells the fleet of a new release: a retained MQTT message, so that late robots hear it too."""

from __future__ import annotations

import ipaddress
import logging
import time

from agent.link.messages import ReleaseNotice, Topics, encode
from server.config import ServerConfig
from server.line import BrokerLine
from server.registry.releases import Releases

log = logging.getLogger(__name__)


def reachable(host: str, port: int) -> str:
    """Under which address others reach what listens there; empty: on all addresses of this host,
    and robots must be told which of them is theirs."""
    try:
        everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        everywhere = False
    return "" if everywhere else f"{host}:{port}"


class Announcer:
    """Keeps the retained message at the latest release.

    Args:
        config: The server's.
        releases: The registry.
        line: To the broker.
    """

    def __init__(self, config: ServerConfig, releases: Releases, line: BrokerLine) -> None:
        self._topic = Topics(config.fleet, "").release
        self._address = reachable(config.host, config.port)
        self._releases = releases
        self._line = line
        self._announced: tuple[int, int] | None = None

    def announce(self) -> None:
        """Announce what is new; call it every second or so."""
        latest = self._releases.latest
        # A broker that came back without its memory has no retained message.
        now = (self._line.connections, latest or 0)
        if latest is None or now == self._announced or not self._line.connected:
            return
        manifest = self._releases.manifest(latest)
        notice = ReleaseNotice(
            version=latest, digest=manifest["digest"], address=self._address, time=time.time()
        )
        self._line.say(self._topic, encode(notice))
        self._announced = now
        log.info("announced release %d on %s", latest, self._topic)
