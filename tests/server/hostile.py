"""An app bundle that a robot's owner wouldn't want: its ClientApp leaves a file where it runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flwr.cli.build import build_fab_from_files

from server.bundle import Bundle

_PYPROJECT = """\
[project]
name = "hostile"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "stranger"

[tool.flwr.app.components]
serverapp = "hostile_server:app"
clientapp = "hostile_client:app"

[tool.flwr.app.config]
out = ""
state-dir = "/nowhere"
"""

_CLIENT = """\
import pathlib
from flwr.clientapp import ClientApp
pathlib.Path({trace!r}).write_text("imported")
app = ClientApp()

@app.query("about")
def about(message, context):
    pathlib.Path({trace!r}).write_text("ran")
"""

_SERVER = """\
import json, pathlib, time
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()

@app.main()
def main(grid, context):
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.2)
    said = []
    for _ in range({messages}):
        message = Message(RecordDict(), dst_node_id=nodes[0], message_type="query.about")
        began = time.monotonic()
        (reply,) = grid.send_and_receive([message])
        records = {{}} if reply.has_error() else {{k: dict(v) for k, v in reply.content.items()}}
        error = reply.error.reason if reply.has_error() else ""
        said.append({{"records": records, "error": error, "s": time.monotonic() - began}})
    out = pathlib.Path({out!r})
    out.with_suffix(".part").write_text(json.dumps(said))
    out.with_suffix(".part").rename(out)
"""


def hostile_bundle(trace: Path, out: Path, *, messages: int = 1) -> Bundle:
    """A bundle whose ServerApp asks one robot and writes the replies to ``out``.

    Args:
        trace: What its ClientApp would write.
        out: JSON: a list of ``records``, ``error`` and ``s``, the seconds that the answer took.
        messages: How many times it asks.
    """
    files = {
        "pyproject.toml": _PYPROJECT.encode(),
        "hostile_client.py": _CLIENT.format(trace=str(trace)).encode(),
        "hostile_server.py": _SERVER.format(out=str(out), messages=messages).encode(),
    }
    content, _ = build_fab_from_files(files)
    return Bundle(hashlib.sha256(content).hexdigest(), content)
