"""The SuperNode's command line, environment and node configuration."""

from __future__ import annotations

import tomllib
from pathlib import Path

from agent.federation.executor import RuntimeFiles
from agent.federation.flower_runtime import RuntimeAddress
from agent.paths import StateDir
from agent.supernode import (
    SuperNodeConfig,
    _parse,
    flower_arguments,
    supernode_command,
    tell_executor,
)


def config(tmp_path: Path, **change: str) -> SuperNodeConfig:
    return SuperNodeConfig(
        superlink="127.0.0.1:29092",
        name="left",
        state_dir=tmp_path / 'a "state" folder',
        dataset_root=tmp_path / "it's data",
        **change,
    )


def test_each_robot_has_its_own_flower_home_and_no_telemetry(tmp_path: Path) -> None:
    _, environment = supernode_command(config(tmp_path))

    assert environment["FLWR_HOME"].startswith(str(tmp_path))
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"


def test_the_node_configuration_survives_any_path(tmp_path: Path) -> None:
    argv, _ = supernode_command(config(tmp_path))
    words = flower_arguments(_parse(argv[3:]), port=4711)

    assert "--insecure" in words
    assert "--port=4711" in words
    (path,) = [w.split("=", 1)[1] for w in words if w.startswith("--node-config=")]
    assert tomllib.loads(Path(path).read_text()) == {
        "name": "left",
        "state-dir": str(tmp_path / 'a "state" folder'),
        "dataset-root": str(tmp_path / "it's data"),
        "threads": 0,
    }


def test_certificates_mean_tls(tmp_path: Path) -> None:
    argv, _ = supernode_command(config(tmp_path, root_certificates="/etc/ca.crt"))
    words = flower_arguments(_parse(argv[3:]), port=4711)

    assert "--root-certificates=/etc/ca.crt" in words
    assert "--insecure" not in words


def test_certificates_mean_a_key(tmp_path: Path) -> None:
    argv, _ = supernode_command(config(tmp_path, root_certificates="/etc/ca.crt"))
    words = flower_arguments(_parse(argv[3:]), port=4711)

    key = StateDir(tmp_path / 'a "state" folder').node_key
    assert f"--auth-supernode-private-key={key}" in words
    assert key.is_file()


def test_it_starts_nothing_by_itself(tmp_path: Path) -> None:
    argv, _ = supernode_command(config(tmp_path))

    assert "--isolation=process" in flower_arguments(_parse(argv[3:]), port=4711)


def test_its_executor_learns_the_port_and_a_new_secret_at_each_start(tmp_path: Path) -> None:
    files = RuntimeFiles(tmp_path / "flower")
    assert files.read() is None

    tell_executor(files, 4711)
    first = files.secret.read_text()
    tell_executor(files, 4712)

    assert files.read() == RuntimeAddress("127.0.0.1:4712", files.secret)
    assert files.secret.read_text() != first
    assert files.secret.stat().st_mode & 0o077 == 0
