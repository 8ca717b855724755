"""``--inference.server`` and what belongs to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.policy.remote.config import RemoteConfig
from agent.policy.remote.session import Endpoint
from robots.errors import ConfigError


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"server": "gpu"}, "--inference.server=gpu: must be host:port"),
        ({"server": "gpu:8470"}, "--inference.server=gpu:8470: plaintext is for loopback only"),
        (
            {"server": "gpu:8470", "root_certificates": "/nowhere"},
            "--inference.root_certificates=/nowhere: isn't a file",
        ),
        (
            {"server": "127.0.0.1:8470", "token_env": "NO_SUCH_TOKEN"},
            "--inference.token_env=NO_SUCH_TOKEN: isn't set in the environment",
        ),
        ({"jpeg_quality": 0}, "--inference.jpeg_quality=0: must be from 1 to 100"),
        ({"token_env": "X"}, "--inference.token_env=X: there is no server to use it with"),
        ({"jpeg_quality": 90}, "--inference.jpeg_quality=90: there is no server to use it with"),
        ({"fallback": True}, "--inference.fallback=True: there is no server to use it with"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        RemoteConfig(**fields)


def test_a_token_comes_from_the_environment_or_a_file_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARM_TOKEN", "s3cret\n")
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    server = "127.0.0.1:8470"

    assert RemoteConfig(server=server, token_env="ARM_TOKEN").token() == "s3cret"
    assert RemoteConfig(server=server, token_file=str(file)).token() == "s3cret"
    assert RemoteConfig(server=server).token() == ""
    with pytest.raises(ConfigError, match="are two tokens"):
        RemoteConfig(server=server, token_env="ARM_TOKEN", token_file=str(file))
    assert "s3cret" not in repr(Endpoint(address=server, token="s3cret"))


def test_a_certificate_takes_its_key_and_tls(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match="go together"):
        RemoteConfig(server="gpu:1", root_certificates=str(file), client_certificate=str(file))
    with pytest.raises(ConfigError, match=r"--inference.client_certificate: needs TLS"):
        RemoteConfig(server="127.0.0.1:1", client_certificate=str(file), client_key=str(file))
