"""A bad network in between: the proxy's process, as a context."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.ports import free_port
from benchmarks.priority import nice
from benchmarks.proxy import tell


class Link:
    """A proxy to a target, and its commands.

    It stands for a network, which no load slows: it runs at high priority.

    Args:
        target: ``host:port``.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._folder = tempfile.TemporaryDirectory(prefix="link-")
        self._process: subprocess.Popen[str] | None = None
        self.control = Path(self._folder.name) / "control"
        self.port = free_port()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._folder.cleanup()

    @property
    def address(self) -> str:
        """What a client connects to; the same after ``kill`` and ``start``."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, on the same port each time.

        Raises:
            RuntimeError: it doesn't start.
        """
        words = [f"--target={self._target}", f"--control={self.control}", f"--port={self.port}"]
        with nice(-15):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.proxy", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[2],
                env=dict(os.environ),
                start_new_session=True,
            )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if "port" not in said:
            self.kill()
            raise RuntimeError("the proxy doesn't start")

    def kill(self) -> None:
        """SIGKILL, as a machine that loses its power; ``start`` brings it back."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def tell(self, do: str, **arguments: Any) -> dict[str, Any]:
        """A command of ``benchmarks/proxy.py``."""
        return tell(self.control, do, **arguments)
