"""The entry with which Flower's own commands find this server's SuperLink.

``FLWR_HOME=STATE/flower flwr list armada`` on the server's host, as the server's user. It names
loopback: the SuperLink's API asks nobody who they are, and nobody else may reach it.
"""

from __future__ import annotations

import json

from agent.policy.atomic import write_text
from server.config import ServerConfig

CONNECTION = "armada"


def write_connection(config: ServerConfig) -> None:
    """Write ``config.toml`` in Flower's home."""
    entry = {"address": config.control_address}
    if config.tls:
        entry["root-certificates"] = config.tls_ca
    # JSON's escapes are TOML's.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    if not config.tls:
        lines.append("insecure = true")
    head = ["[superlink]", f'default = "{CONNECTION}"', "", f"[superlink.{CONNECTION}]"]
    write_text(config.state.flower / "config.toml", "\n".join([*head, *lines, ""]))
