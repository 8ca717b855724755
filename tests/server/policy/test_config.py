"""What ``armada policy-server`` refuses before it loads anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.policy.engines.config import EngineConfig
from robots.errors import ConfigError
from server.policy.config import PolicyServerConfig, ServedPolicyRef


def config(**fields: object) -> PolicyServerConfig:
    return PolicyServerConfig(**{"policy": ServedPolicyRef(path="somewhere"), **fields})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"policy": ServedPolicyRef()}, "--policy.path: is missing"),
        ({"listen": "8470"}, "--listen=8470: must be host:port"),
        ({"listen": "127.0.0.1:70000"}, "--listen=.*: must be host:port"),
        ({"listen": "0.0.0.0:8470"}, "--listen=.*: plaintext is for loopback only"),
        ({"max_batch": 0}, "--max_batch=0: must be from 1"),
        ({"max_robots": 0}, "--max_robots=0: must be from 1"),
        ({"hang_s": 0.0}, "--hang_s=0.0: must be positive"),
        ({"report_s": -1.0}, "--report_s=-1.0: must be positive"),
        ({"threads": -1}, "--threads=-1: can't be negative"),
        (
            {"inference": EngineConfig(engine="smolvla-compiled")},
            "--inference.engine=smolvla-compiled: is for one robot",
        ),
        ({"tokens": "/nowhere"}, "--tokens=/nowhere: isn't a file"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config(**fields)


def test_beyond_loopback_it_takes_tls_and_a_proof_of_who_asks(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    tls = {"tls_cert": str(file), "tls_key": str(file)}

    with pytest.raises(ConfigError, match="go together"):
        config(tls_cert=str(file))
    with pytest.raises(ConfigError, match=r"--tls_client_ca=.*: needs TLS"):
        config(tls_client_ca=str(file))
    with pytest.raises(ConfigError, match="whoever reaches this address could ask"):
        config(listen="0.0.0.0:8470", **tls)
    config(listen="0.0.0.0:8470", **tls, tokens=str(file))
    config(listen="[::]:8470", **tls, tls_client_ca=str(file))
    config(listen="[::1]:8470")
