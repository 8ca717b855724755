"""An agent as ``armada run`` starts it, on an emulated arm, and every tick of it.

Control tells whoever says ``trace`` in its hello what each tick acted on: the observation, the
request, the generation and the model that the action came from.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import draccus
import psutil

from agent.config import PolicyRef, RunConfig
from agent.inference_config import InferenceConfig
from agent.ipc import Channel, connect
from benchmarks.inference.job import FPS, TASK
from benchmarks.inference.pictures import CAMERAS
from benchmarks.rig import Power
from robots.errors import LinkError

_START_S = 120.0
_END_S = 60.0


@dataclass(frozen=True)
class Traced:
    """One tick, as control told it.

    Args:
        number: Of the tick.
        heard_s: ``time.monotonic`` here.
        lateness_s, skipped: Of its beginning.
        epoch: Resets before it.
        origin: Of the action (``agent.control.timeline.Planned``); ``None``: it starved.
    """

    number: int
    heard_s: float
    lateness_s: float
    skipped: int
    epoch: int
    origin: dict[str, Any] | None


class Agent:
    """``armada run`` with a policy, for as long as the context lasts.

    Args:
        power: The arm.
        policy: Folder of the policy; empty: only a server computes.
        inference: When it is asked, and where.
    """

    def __init__(self, power: Power, policy: str, inference: InferenceConfig) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="armada-chaos-")
        self.config = RunConfig(
            robot=power.follower(cameras={name: power.camera() for name in CAMERAS}),
            policy=PolicyRef(path=policy),
            inference=inference,
            fps=FPS,
            task=TASK,
            return_to_initial_position=False,
            state_dir=str(Path(self._folder.name) / "state"),
        )
        self.ticks: list[Traced] = []
        self.events: list[tuple[float, dict[str, Any]]] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._ear: threading.Thread | None = None
        self.log = Path(self._folder.name) / "log"
        self._over = threading.Event()
        self._orders: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        try:
            self._start()
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

    def order(self, name: str, **args: Any) -> None:
        """An operator's command."""
        self._orders.append({"id": len(self._orders) + 1, "name": name, "args": args})

    def pid(self, module: str) -> int | None:
        """Of the process of the agent that runs this module, if it is there."""
        assert self._process is not None
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if "-m" in words and words[words.index("-m") + 1] == module:
                    return int(process.pid)
        return None

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float = 120.0) -> float:
        """How long it took, s.

        Raises:
            RuntimeError: it didn't come, or the agent ended or hung up.
        """
        assert self._process is not None
        assert self._ear is not None
        began = time.monotonic()
        while not condition():
            gone = self._process.poll() is not None or not self._ear.is_alive()
            if gone or time.monotonic() - began > timeout_s:
                when = "control is gone" if gone else f"not within {timeout_s:.0f} s"
                last = [(e["event"], e["cause"]) for _, e in self.events[-8:]]
                raise RuntimeError(f"{when}: {what}; events: {last}")
            time.sleep(0.01)
        return time.monotonic() - began

    def acts_on(self, since_s: float) -> bool:
        """Whether an action of an observation after that moment has been sent."""
        first = next((t.number for t in reversed(self.ticks) if t.heard_s < since_s), None)
        last = self.ticks[-1].origin if self.ticks else None
        return last is not None and first is not None and last["observed"] > first

    def heard(self, kind: str, since_s: float, **data: Any) -> bool:
        """Whether there was such an event after that moment."""
        return any(
            at >= since_s and e["event"] == kind and data.items() <= e["data"].items()
            for at, e in self.events
        )

    def logged(self, kind: str) -> int:
        """How many such events there were, also before anybody here listened."""
        try:
            text = self.config.state.events.read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0
        lines = text.rpartition("\n")[0].splitlines()
        return sum(json.loads(line)["event"] == kind for line in lines)

    def _start(self) -> None:
        path = Path(self._folder.name) / "run.yaml"
        path.write_text(draccus.dump(self.config), encoding="utf-8")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "run", f"--config_path={path}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._channel = self._connect()
        self._channel.send("hello", role="cli", pid=os.getpid(), subscribe=True, trace=True)
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    def _end(self) -> None:
        self._over.set()
        if self._ear is not None:
            self._ear.join()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()

    def _connect(self) -> Channel:
        assert self._process is not None
        until = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(LinkError):
                return connect(self.config.state.control_socket)
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the agent doesn't start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def _listen(self) -> None:
        channel = self._channel
        assert channel is not None
        sent = 0
        while not self._over.is_set() and not channel.closed:
            while sent < len(self._orders):
                channel.send("command", **self._orders[sent])
                sent += 1
            for message in channel.wait(0.05):
                now, said = time.monotonic(), message.fields
                if message.kind == "tick":
                    self.ticks.append(
                        Traced(
                            said["tick"],
                            now,
                            said["lateness_s"],
                            said["skipped"],
                            said["epoch"],
                            said["origin"],
                        )
                    )
                elif message.kind == "event":
                    self.events.append((now, said))
