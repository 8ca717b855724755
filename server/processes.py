"""The command lines of the server's processes.

Isolation ``process`` and a database: a SuperLink that is killed in the middle of a run comes back
and the run completes, since the ServerApp is not its child but the SuperExec's.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from agent.supervisor.child import ChildSpec
from server.config import ServerConfig
from server.rounds.app import STATE_VARIABLE


def superlink_spec(config: ServerConfig) -> ChildSpec:
    """The SuperLink: what the robots' SuperNodes and the ServerApp talk to."""
    state = config.state
    argv = [
        _script("flower-superlink"),
        *_tls(config),
        "--isolation=process",
        "--disable-runtime-dependency-installation",
        f"--superexec-auth-secret-file={state.secret}",
        f"--database={state.database}",
        "--host=127.0.0.1",
        f"--port={config.control_port}",
        "--fleet-api-type=grpc-rere",
        f"--fleet-api-address={config.superlink_address}",
    ]
    log = state.logs / "superlink.log"
    return ChildSpec(name="superlink", argv=argv, log=log, env=flower_environment(config))


def superexec_spec(config: ServerConfig) -> ChildSpec:
    """The SuperExec: starts a process for the ServerApp of each run."""
    state = config.state
    argv = [
        _script("flower-superexec"),
        f"--runtime-api-address={config.control_address}",
        f"--superexec-auth-secret-file={state.secret}",
        f"--root-certificates={config.tls_ca}" if config.tls else "--insecure",
    ]
    log = state.logs / "superexec.log"
    return ChildSpec(name="superexec", argv=argv, log=log, env=flower_environment(config))


def fleet_spec(config: ServerConfig) -> ChildSpec:
    """Our own service: rounds, releases, announcements."""
    state = config.state
    argv = [sys.executable, "-m", "server.fleet", f"--config_path={state.config}"]
    return ChildSpec(name="fleet", argv=argv, log=state.logs / "fleet.log")


def flower_environment(config: ServerConfig) -> dict[str, str]:
    """Flower's home in the server's state, no telemetry, and the way to the server's own state."""
    bin_folder = str(Path(sys.executable).parent)
    return {
        "FLWR_HOME": str(config.state.flower),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        STATE_VARIABLE: str(config.state.root.resolve()),
        # The SuperExec starts `flwr-serverapp` by name.
        "PATH": os.pathsep.join([bin_folder, os.environ.get("PATH", os.defpath)]),
    }


def ensure_secret(path: Path) -> None:
    """What the SuperExec shows to the SuperLink; for this user's eyes only."""
    if path.exists():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))


def _tls(config: ServerConfig) -> list[str]:
    if not config.tls:
        return ["--insecure"]
    return [
        f"--ssl-certfile={config.tls_cert}",
        f"--ssl-keyfile={config.tls_key}",
        f"--ssl-ca-certfile={config.tls_ca}",
        # Only robots whose keys are registered.
        "--enable-supernode-auth",
    ]


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)
