"""``armada policy-server`` as a process that can be killed and started again on its port."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.ports import free_port

_START_S = 120.0


class Server:
    """One, for as long as the context lasts.

    Args:
        policy: Folder of the policy.
    """

    def __init__(self, policy: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._policy = policy
        self._folder = tempfile.TemporaryDirectory(prefix="policy-server-")
        self._process: subprocess.Popen[bytes] | None = None
        self.log = Path(self._folder.name) / "log"

    def __enter__(self) -> Self:
        try:
            self.start()
            self._await()
        except BaseException:
            # Nobody leaves a context that was not entered.
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def start(self) -> None:
        """Begin to start it; it takes connections when it has loaded its policy."""
        words = [f"--policy.path={self._policy}", f"--listen={self.address}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "policy-server", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _await(self) -> None:
        until = time.monotonic() + _START_S
        while "ready" not in self.log.read_text(errors="replace"):
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server doesn't start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def _end(self) -> None:
        if self._process is not None:
            self.kill()
        self._folder.cleanup()
