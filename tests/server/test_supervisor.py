"""What the server's supervisor lives through."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from agent.supervisor.child import Child, ChildSpec
from agent.supervisor.events import EventLog
from server.base import Base
from server.config import BasePolicyRef, ServerConfig
from server.supervisor import Server
from tests.helpers import free_port


def test_a_disk_that_is_full_when_a_process_starts_again_ends_nothing(
    tmp_path: Path, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ServerConfig(
        policy=BasePolicyRef(path=base.source), state_dir=str(tmp_path), control_port=free_port()
    )
    server = Server(config, Console(file=io.StringIO()))
    argv = [sys.executable, "-c", "pass"]
    child = Child(ChildSpec(name="superlink", argv=argv, log=tmp_path / "log"))
    written: list[str] = []

    def full_at_first(path: Path, text: str) -> None:
        written.append(text)
        if len(written) < 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        server._stop.set()

    monkeypatch.setattr("server.supervisor.write_text", full_at_first)
    child.start()
    log = EventLog(tmp_path / "events.jsonl", Console(file=io.StringIO()))
    server._watch(base, [child], log)
    child.end(grace_s=5.0)

    assert len(written) == 3
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    (said,) = [e["cause"] for e in events if e["event"] == "ready_not_written"]
    assert "No space left on device" in said
