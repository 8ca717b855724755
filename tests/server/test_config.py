"""What ``armada server`` refuses before it listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from robots.errors import ConfigError
from server.config import ServerBrokerConfig, ServerConfig, is_loopback
from server.rounds.late import MOST_LATE


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("fleet.example.org", False),
    ],
)
def test_plaintext_is_for_loopback_only(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    if loopback:
        ServerConfig(host=host)
    else:
        with pytest.raises(ConfigError, match=r"--host=.*plaintext is for loopback only"):
            ServerConfig(host=host)


def test_certificates_go_together_and_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--tls_cert=/nowhere: isn't a file"):
        ServerConfig(tls_cert="/nowhere")
    cert = tmp_path / "cert.pem"
    cert.touch()
    with pytest.raises(ConfigError, match="go together"):
        ServerConfig(tls_cert=str(cert))
    files = {name: str(cert) for name in ("tls_cert", "tls_key", "tls_ca")}
    with pytest.raises(ConfigError, match=r"--broker.host: .*for loopback only"):
        ServerConfig(host="0.0.0.0", **files)
    broker = ServerBrokerConfig(host="mqtt.example.org")
    assert ServerConfig(host="0.0.0.0", broker=broker, **files).tls


def test_what_late_updates_need_is_kept() -> None:
    with pytest.raises(ConfigError, match="--keep_releases=17: must be at least 18"):
        ServerConfig(keep_releases=MOST_LATE + 1)
    assert ServerConfig(keep_releases=MOST_LATE + 2).keep_releases == 18
    with pytest.raises(ConfigError, match="--min_free_gb=-1: must be from 0"):
        ServerConfig(min_free_gb=-1)


def test_ports_and_names_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"--port=70000: isn't a port"):
        ServerConfig(port=70_000)
    with pytest.raises(ConfigError, match="are the same"):
        ServerConfig(port=5000, control_port=5000)
    with pytest.raises(ConfigError, match="--fleet=a/b"):
        ServerConfig(fleet="a/b")
