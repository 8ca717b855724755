"""The app bundle of ``armada simulate``: the run configuration's defaults, and no code.

What is simulated is then the installed Armada, wherever the command is given. A clone has the same
in its own ``pyproject.toml``, for ``flwr run .``.
"""

from __future__ import annotations

import hashlib
import json

from flwr.cli.build import build_fab_from_files

from agent.federation.simulation.config import SimulationConfig
from server.bundle import Bundle

SERVER_APP = "server.simulation.app:app"
CLIENT_APP = "agent.federation.clientapp:app"

_PYPROJECT = """\
[project]
name = "armada"
version = "1.0.0"
description = "References to the installed armada; holds no code."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "armada"

[tool.flwr.app.components]
serverapp = {server}
clientapp = {client}

[tool.flwr.app.config]
"""


def build_simulation_bundle() -> Bundle:
    """Build it, byte for byte the same each time."""
    head = _PYPROJECT.format(server=json.dumps(SERVER_APP), client=json.dumps(CLIENT_APP))
    # JSON's words for texts, numbers and truths are TOML's.
    lines = [f"{k} = {json.dumps(v)}\n" for k, v in SimulationConfig().to_run_config().items()]
    content, _ = build_fab_from_files({"pyproject.toml": (head + "".join(lines)).encode()})
    return Bundle(hashlib.sha256(content).hexdigest(), content)
