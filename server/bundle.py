"""The app bundle that Flower wants for a run: a name and two references, and no code.

Flower unpacks it and imports what it references with the bundle's folder first on the path. There
is nothing there to import, so that ``server.rounds.app`` and ``agent.federation.clientapp`` are
those which are installed on the server and on each robot: a robot runs only what its owner
installed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from flwr.cli.build import build_fab_from_files

_PYPROJECT = b"""\
[project]
name = "armada"
version = "1.0.0"
description = "References to the installed armada; holds no code."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "armada"

[tool.flwr.app.components]
serverapp = "server.rounds.app:app"
clientapp = "agent.federation.clientapp:app"

[tool.flwr.app.config]
round-id = 0
"""


@dataclass(frozen=True)
class Bundle:
    """A FAB and its sha256."""

    sha256: str
    content: bytes


def build_bundle() -> Bundle:
    """Build the bundle, byte for byte the same each time."""
    content, _ = build_fab_from_files({"pyproject.toml": _PYPROJECT})
    return Bundle(hashlib.sha256(content).hexdigest(), content)
