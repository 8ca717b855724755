"""The executor of a robot's SuperNode: what runs when the server sends work is the ClientApp that
is installed here, whatever app bundle came with it.

``python -m agent.federation.executor`` takes tasks from the SuperNode (``--isolation process``) one
at a time. Each is answered in a process of its own, forked off this one after the ClientApp and
Flower were imported, so that it begins within milliseconds and a crash or a leak is over with it.
The token of a task, with which anybody on this host could answer in its place, is in no command
line and no environment: the fork knows it, or, where forking isn't safe, reads it from a pipe.

A ClientApp that is killed is given up by the SuperNode after about 60 s without a heartbeat; the
server asks again.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from agent.supervisor.forkable import inherited, stay_forkable, why_not
from robots.errors import FederationError

if TYPE_CHECKING:
    from flwr.clientapp import ClientApp

    from agent.federation.flower_runtime import RuntimeAddress, TaskQueue
    from agent.supervisor.forked import Mask, Process

CLIENT_APP = "agent.federation.clientapp:app"
"""What a robot runs, and nothing else."""

_POLL_S = 0.2
"""Between two looks for a task; Flower's executor looks each second."""

_ABSENT_S = 1.0
"""The same, while the SuperNode isn't there."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RuntimeFiles:
    """Where a SuperNode says how its executor reaches it: it has another port at each start.

    Args:
        folder: ``StateDir.flower``.
    """

    folder: Path

    @property
    def secret(self) -> Path:
        return self.folder / "executor.secret"

    @property
    def address(self) -> Path:
        return self.folder / "runtime.json"

    def read(self) -> RuntimeAddress | None:
        """``None``: no SuperNode has started yet."""
        from agent.federation.flower_runtime import RuntimeAddress

        try:
            address = json.loads(self.address.read_text(encoding="utf-8"))["address"]
        except FileNotFoundError:
            return None
        return RuntimeAddress(address, self.secret)


def executor_command(state_dir: Path) -> list[str]:
    """Command line of a robot's executor."""
    module = "agent.federation.executor"
    return [sys.executable, "-m", module, f"--state_dir={state_dir.resolve()}"]


class Executor:
    """Takes tasks and has them answered.

    Args:
        files: Where the SuperNode says how to reach it.
        app: The installed ClientApp.
        reference: How another process finds it.
    """

    def __init__(self, files: RuntimeFiles, app: ClientApp, reference: str = CLIENT_APP) -> None:
        self._files = files
        self._app = app
        self._reference = reference
        self._runtime: RuntimeAddress | None = None
        self._queue: TaskQueue | None = None

    def run(self) -> NoReturn:
        """Until this process is ended. A SuperNode that isn't there is waited for."""
        while True:
            time.sleep(self.step())

    def step(self) -> float:
        """Answer the next task, if there is one; the seconds to wait before the next step."""
        queue = self._connect()
        if queue is None:
            return _ABSENT_S
        try:
            token = queue.next()
        except FederationError as error:
            log.debug("%s", error)
            return _ABSENT_S
        if token is None:
            return _POLL_S
        began = time.monotonic()
        assert self._runtime is not None
        status = self._begin(self._runtime.address, token).wait()
        log.info("a task ended with status %d after %.2f s", status, time.monotonic() - began)
        return 0.0

    def _connect(self) -> TaskQueue | None:
        """The queue of the SuperNode that started last."""
        from agent.federation.flower_runtime import TaskQueue

        runtime = self._files.read()
        if runtime != self._runtime or self._queue is None:
            if self._queue is not None:
                self._queue.close()
            self._runtime = runtime
            self._queue = None if runtime is None else TaskQueue(runtime)
        return self._queue

    def _begin(self, address: str, token: str) -> Process:
        reason = why_not()
        if reason is None:
            return self._fork(address, token)
        log.debug("the ClientApp starts afresh: %s", reason)
        argv = [sys.executable, "-m", "agent.federation.executor", f"--app={self._reference}"]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, env=inherited())
        assert process.stdin is not None
        with process.stdin as pipe:
            pipe.write(json.dumps([address, token]).encode())
        return process

    def _fork(self, address: str, token: str) -> Process:
        from agent.federation.flower_runtime import run_task
        from agent.supervisor.child import die_with_parent
        from agent.supervisor.forked import fork

        parent = os.getpid()

        def child(mask: Mask) -> NoReturn:
            die_with_parent()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if os.getppid() != parent:
                os._exit(1)
            try:
                run_task(address, token, self._app)
            except BaseException as error:
                sys.excepthook(type(error), error, error.__traceback__)
                raise
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(0)

        return fork(child)


def main(argv: list[str]) -> None:
    """Run as the supervisor starts it: never returns."""
    stay_forkable()
    from agent import logs
    from agent.federation.flower_runtime import load_app, run_task
    from agent.paths import StateDir

    parser = argparse.ArgumentParser(prog="python -m agent.federation.executor")
    parser.add_argument("--state_dir", type=Path, help="without it: one task, told on stdin")
    parser.add_argument("--app", default=CLIENT_APP, help="the ClientApp that answers")
    args = parser.parse_args(argv)
    logs.configure()
    app = load_app(args.app)
    if args.state_dir is None:
        address, token = json.load(sys.stdin)
        run_task(address, token, app)
        return
    Executor(RuntimeFiles(StateDir(args.state_dir).flower), app, args.app).run()


if __name__ == "__main__":
    main(sys.argv[1:])
