"""``armada run``: the process that stays in the foreground.

It moves no arm, opens no socket to the world and touches no weights. It starts control, recorder,
policy worker, link and SuperNode, notices when one dies, says so, and starts it again; it turns
Ctrl-C and SIGTERM into an orderly shutdown.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from types import FrameType
from typing import Any

import draccus
from rich.console import Console

from agent.config import RunConfig
from agent.ipc import Channel, Message, connect
from agent.policy import atomic
from agent.supervisor.child import Child, Exit
from agent.supervisor.children import Children
from agent.supervisor.events import EventLog
from agent.supervisor.preflight import Cleared, clear_for_start
from agent.supervisor.workers import PolicyWorkers
from robots.errors import DeviceError, LinkError

POLL_S = 0.2
START_LIMIT_S = 120.0
SHUTDOWN_LIMIT_S = 30.0
LET_GO_LIMIT_S = 30.0
"""It imports LeRobot first."""

SILENT_S = 5.0
"""Control reports twice a second; silent for this long it hangs (a driver that never returns)."""

_REFUSED = 2


class Supervisor:
    """Runs one agent to its end.

    Args:
        config: What to run.
        console: Where people look.
    """

    def __init__(self, config: RunConfig, console: Console) -> None:
        self._config = config
        self._console = console
        self._channel: Channel | None = None
        self._signals = 0
        self._stops = 0
        self._ending = False
        self._moved = False
        self._home_kept = False
        self._orderly = False
        self._heard_at = time.monotonic()
        self._shutdown_by: float | None = None
        self.telemetry: dict[str, Any] = {}
        self.replayed: list[dict[str, Any]] = []

    def run(self) -> int:
        """Start everything and watch it until control has shut down; the exit status.

        Raises:
            ArmadaError: refused before anything moved.
        """
        cleared = clear_for_start(self._config)
        state = self._config.state
        state.home.unlink(missing_ok=True)
        state.config.write_text(draccus.dump(self._config), encoding="utf-8")
        log = EventLog(state.events, self._console)
        self._log = log
        children = Children(self._config, cleared.locks)
        control = Child(children.control())
        helpers = [Child(s) for s in self._helper_specs(children)]
        workers = PolicyWorkers(children, cleared.store, self.emit)
        with self._signals_handled():
            try:
                return self._watch(control, helpers, workers, cleared)
            finally:
                for child in helpers:
                    child.end(grace_s=3.0)
                workers.end()
                control.end(grace_s=3.0)
                if self._moved and not self._orderly:
                    self._let_go(Child(children.let_go()))
                log.close()
                for lock in cleared.locks:
                    os.close(lock)

    def emit(self, kind: str, cause: str, **data: Any) -> None:
        """An event of the supervisor's own, for the log and, through control, for everybody."""
        event: dict[str, Any] = {"event": kind, "cause": cause, "time": time.time(), "data": data}
        self._log.write(event)
        if self._channel is not None:
            self._channel.send("event", **event)

    # ---------------------------------------------------------------------------------------

    def _helper_specs(self, children: Children) -> list[Any]:
        specs = [children.recorder(), children.link(), children.supernode()]
        return [spec for spec in specs if spec is not None]

    def _watch(
        self, control: Child, helpers: list[Child], workers: PolicyWorkers, cleared: Cleared
    ) -> int:
        control.start()
        for child in helpers:
            child.start()
        workers.poll()
        self._connect(control)
        self.emit("started", f"{self._config.robot_name} runs", pid=os.getpid())
        while True:
            self._hear(workers)
            self._watch_over(control)
            ended = control.poll()
            if ended is not None and self._control_ended(control, ended):
                return 0
            if not control.alive and control.restart_when_due():
                self._connect(control)
                self.emit("process_restarted", "control starts again", pid=control.pid)
            for child in helpers:
                self._look_after(child)
            if self._shutdown_by is None:
                workers.poll()
            self._obey_signals(control)

    def _connect(self, control: Child) -> None:
        """Wait until control listens.

        Raises:
            DeviceError: control refused or died before it did.
        """
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            ended = control.poll()
            if ended is not None:
                raise DeviceError(self._last_words(control, ended))
            if self._signals:
                control.signal(signal.SIGTERM)
            try:
                self._channel = connect(self._config.state.control_socket)
            except LinkError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                break
        self._heard_at = time.monotonic()
        self._moved = True
        self._channel.send("hello", role="supervisor", pid=os.getpid(), subscribe=True)

    def _watch_over(self, control: Child) -> None:
        silent_s = time.monotonic() - self._heard_at
        if control.alive and not self._ending and silent_s > SILENT_S:
            self._heard_at = time.monotonic()
            self.emit("control_hung", f"control has been silent for {silent_s:.0f} s")
            control.signal(signal.SIGKILL)

    def _last_words(self, control: Child, ended: Exit) -> str:
        lines = control.spec.log.read_text(errors="replace").strip().splitlines()
        last = lines[-1] if lines else ""
        if ended.status == _REFUSED and " ERROR " in last:
            return last.split(": ", 1)[-1]
        return f"the control process {ended}: {last} (see {control.spec.log})"

    def _hear(self, workers: PolicyWorkers) -> None:
        channel = self._channel
        if channel is None or channel.closed:
            time.sleep(POLL_S)
            return
        with contextlib.suppress(InterruptedError):
            select.select([channel], [], [], POLL_S)
        for message in channel.receive():
            self._heard_at = time.monotonic()
            self._on_message(message, workers)
        channel.flush()

    def _on_message(self, message: Message, workers: PolicyWorkers | None) -> None:
        if message.kind == "telemetry":
            self.telemetry = message.fields
            if not self._home_kept and (home := message.fields.get("home")):
                atomic.write_text(self._config.state.home, json.dumps(home))
                self._home_kept = True
        elif message.kind == "event":
            event = message.fields
            if event["event"] == "replayed":
                self.replayed = event["data"]["episodes"]
                return
            self._keep_stop(event)
            self._ending = self._ending or event["event"] == "shutdown"
            # What this process said itself comes back with everybody else's copy.
            if event.get("via") != "supervisor":
                self._log.write(event)
            if event["event"] == "policy_hung" and workers is not None:
                workers.kill(event["data"]["pid"])

    def _keep_stop(self, event: dict[str, Any]) -> None:
        """A stop outlives control, this process and the host: only the operator clears it."""
        latched = self._config.state.latched_stop
        if event["event"] == "stopped":
            atomic.write_text(latched, event["cause"])
        elif event["event"] == "cleared":
            latched.unlink(missing_ok=True)

    def _control_ended(self, control: Child, ended: Exit) -> bool:
        """Whether that was the orderly end."""
        if self._channel is not None:
            for message in self._channel.receive():
                self._on_message(message, None)
            self._channel.close()
            self._channel = None
        self._orderly = ended.status == 0
        if ended.status == 0 or self._shutdown_by is not None:
            return True
        self.emit("process_ended", f"{control.spec.name} {ended}", lived_s=round(ended.lived_s, 1))
        return False

    def _let_go(self, child: Child) -> None:
        """Control is dead and won't come back: somebody must take torque away."""
        child.start()
        ended = child.wait(LET_GO_LIMIT_S)
        if ended is not None and ended.status == 0:
            self.emit("let_go", "the arm was let go without control")
        else:
            self.emit("not_let_go", f"the arm may still hold: see {child.spec.log}")
            child.end(grace_s=1.0)

    def _look_after(self, child: Child) -> None:
        ended = child.poll()
        if ended is not None and self._shutdown_by is None:
            lived = round(ended.lived_s, 1)
            self.emit("process_ended", f"{child.spec.name} {ended}", lived_s=lived)
        if self._shutdown_by is None and child.restart_when_due():
            self.emit("process_restarted", f"{child.spec.name} starts again", pid=child.pid)

    def _obey_signals(self, control: Child) -> None:
        if self._stops:
            self._stops = 0
            control.signal(signal.SIGUSR1)
        if self._signals and self._shutdown_by is None:
            self._shutdown_by = time.monotonic() + SHUTDOWN_LIMIT_S
            control.signal(signal.SIGTERM)
        elif self._signals > 1:
            # A second Ctrl-C: end without the way back to the pose at start.
            self._signals = 1
            control.signal(signal.SIGTERM)
        if self._shutdown_by is not None and time.monotonic() > self._shutdown_by:
            control.signal(signal.SIGKILL)

    @contextlib.contextmanager
    def _signals_handled(self) -> Any:
        def count(number: int, frame: FrameType | None) -> None:
            self._signals += 1

        def count_stop(number: int, frame: FrameType | None) -> None:
            self._stops += 1

        before = {s: signal.signal(s, count) for s in (signal.SIGINT, signal.SIGTERM)}
        before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, count_stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
