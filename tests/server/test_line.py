"""The server's line to a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from robots.errors import ConfigError
from server.config import ServerBrokerConfig, ServerConfig
from server.line import BrokerLine
from tests.helpers import wait_until
from tests.mqtt import HOST, Broker, Listener

TOPIC = "armada/default/left/event"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path).start()
    yield broker
    broker.end()


def line(broker: Broker, heard: list[bytes]) -> BrokerLine:
    config = ServerConfig(broker=ServerBrokerConfig(host=HOST, port=broker.port))
    return BrokerLine(
        config, ("armada/default/+/event",), lambda topic, payload: heard.append(payload)
    )


def test_what_is_said_while_the_server_is_down_waits_for_it(broker: Broker) -> None:
    heard: list[bytes] = []
    with line(broker, heard) as first:
        wait_until(lambda: first.connected, timeout_s=20)
    robot = Listener(broker.port)
    robot.say(TOPIC, b"a decision")
    assert heard == []
    with line(broker, heard):
        wait_until(lambda: heard == [b"a decision"], timeout_s=20)
    robot.close()


def test_what_it_announces_stays_at_the_broker(broker: Broker) -> None:
    with line(broker, []) as ours:
        wait_until(lambda: ours.connected, timeout_s=20)
        ours.say("armada/default/release", b'{"version": 1}')
        late = Listener(broker.port)
        wait_until(lambda: late.heard("/release"), timeout_s=20)
        assert late.messages[0].retain
        late.close()


def test_a_disk_that_is_full_ends_nothing(broker: Broker) -> None:
    config = ServerConfig(broker=ServerBrokerConfig(host=HOST, port=broker.port))
    heard: list[str] = []

    def hear(topic: str, payload: bytes) -> None:
        heard.append(topic)
        raise OSError(28, "No space left on device")

    with BrokerLine(config, ("armada/default/+/event",), hear) as ours:
        wait_until(lambda: ours.connected, timeout_s=20)
        robot = Listener(broker.port)
        for number in (1, 2):
            robot.say(TOPIC, b"x")
            wait_until(lambda number=number: len(heard) == number, timeout_s=20)
        robot.close()


def test_a_login_is_checked_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--broker\.password_env=ARMADA_NONE"):
        ServerBrokerConfig(password_env="ARMADA_NONE")
    with pytest.raises(ConfigError, match=r"--broker\.tls_ca=.*: isn't a file"):
        ServerBrokerConfig(tls_ca=str(tmp_path / "none"))
    (tmp_path / "ca").write_text("no certificate")
    config = ServerConfig(broker=ServerBrokerConfig(host=HOST, tls_ca=str(tmp_path / "ca")))
    with pytest.raises(ConfigError, match=r"--broker\.tls_ca=.*holds no certificate"):
        BrokerLine(config, (), lambda topic, payload: None)
