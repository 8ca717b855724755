"""Policy servers as processes, for as long as a context lasts."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.supervisor.child import die_with_parent
from benchmarks.ports import free_port

__all__ = ["SERVERS", "armada_server", "free_port", "lerobot_server"]

_START_S = 400.0
_ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def lerobot_server(policy: str) -> Iterator[str]:
    """LeRobot's ``policy_server``, its defaults; its address. The client says which policy."""
    port = free_port()
    words = ["lerobot.async_inference.policy_server", "--host=127.0.0.1", f"--port={port}"]
    with _running(words, port):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def armada_server(policy: str) -> Iterator[str]:
    """``armada policy-server``, its defaults; its address."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    words = ["agent.cli", "policy-server", f"--policy.path={policy}", f"--listen={address}"]
    with _running(words, port):
        yield address


@contextlib.contextmanager
def _running(words: Sequence[str], port: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="policy-server-") as folder:
        said = Path(folder) / "said"
        with said.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdout=log,
                stderr=log,
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(_ROOT)},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        try:
            _await(process, port, said)
            yield
        finally:
            process.terminate()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    until = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the server doesn't start: {said.read_text()[-2000:]}")
        time.sleep(0.05)


SERVERS = {"LeRobot client and server": lerobot_server, "Armada": armada_server}
"""Contenders that have one."""
