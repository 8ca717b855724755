"""The fleet's own MQTT broker, when none is configured: Debian's mosquitto under our supervision.

``iotcore``, a broker that pip installs, is measured beside it by ``benchmarks/brokers.py``: it does
TLS, passwords and the will of a hung client as well, but forgets retained messages and sessions
with every restart, and a fleet's status topics and release notices are retained.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path

from agent.supervisor.child import ChildSpec
from robots.errors import ConfigError, LinkError

AUTOSAVE_S = 5
"""What a SIGKILL of the broker can cost: changes of retained messages in the last seconds."""


def find_mosquitto() -> str:
    """Path of the mosquitto binary.

    Raises:
        ConfigError: it isn't installed.
    """
    # Debian puts it where only root's PATH looks.
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
    found = shutil.which("mosquitto", path=path)
    if found is None:
        raise ConfigError(
            "there is no broker to start: mosquitto isn't installed",
            field="--broker.host",
            remedy="Install it (apt-get install mosquitto) or name a broker that runs",
        )
    return found


def broker_spec(state_dir: Path, host: str, port: int) -> ChildSpec:
    """Configure a broker and say how to run it.

    Args:
        state_dir: Its data, configuration and log go here.
        host: Where it listens.
        port: Where it listens.

    Raises:
        ConfigError: mosquitto isn't installed, or the port is taken.
    """
    binary = find_mosquitto()
    _check_free(host, port)
    data = state_dir / "broker"
    data.mkdir(parents=True, exist_ok=True)
    lines = [
        f"listener {port} {host}",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {data}/",
        f"autosave_interval {AUTOSAVE_S}",
        "max_packet_size 1048576",
        "log_dest stderr",
    ]
    if os.geteuid() == 0:
        # Started as root it becomes the user mosquitto, who may not look into this folder.
        lines.append("user root")
    config = data / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ChildSpec(name="broker", argv=[binary, "-c", str(config)], log=state_dir / "broker.log")


def _check_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"can't be listened on ({error.strerror})",
                field="--broker.port",
                value=port,
                remedy="Name a free port, or --broker.host for a broker that runs there",
            ) from error


def await_broker(host: str, port: int, timeout_s: float = 10.0) -> None:
    """Wait until something accepts connections.

    Raises:
        LinkError: nothing does in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with socket.create_connection((host, port), timeout=1.0):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise LinkError(
                    "the broker doesn't answer", field="broker", value=f"{host}:{port}"
                ) from error
            time.sleep(0.02)
