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
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import draccus
from rich.console import Console

from agent.config import RunConfig
from agent.control import let_go
from agent.ipc import Channel, Message, connect
from agent.policy import atomic
from agent.supervisor.child import Child, Exit
from agent.supervisor.children import Children
from agent.supervisor.events import EventLog
from agent.supervisor.latch import Latch
from agent.supervisor.preflight import Cleared, clear_for_start
from agent.supervisor.trial import Trial
from agent.supervisor.words import last_error, last_line
from agent.supervisor.workers import PolicyWorkers
from robots.errors import ConfigError, DeviceError, LinkError

POLL_S = 0.2
START_LIMIT_S = 120.0
SHUTDOWN_LIMIT_S = 60.0
"""For the last episode and letting go; the way to the pose at start comes on top."""

PARK_TIMES = 2.5
"""Times ``--guard.park_s``: the longest way back."""

LET_GO_LIMIT_S = 30.0
"""It imports LeRobot first."""

SILENT_S = 5.0
"""Control reports twice a second; silent for this long it hangs (a driver that never returns)."""

ENDING_SILENT_S = 15.0
"""The same while it lets go and hangs up."""

_REFUSED = 2
_NOT_LET_GO = ("not_let_go", "the arm may still hold")
_LET_GO = {
    let_go.LET_GO: ("let_go", "the arm was let go without control"),
    let_go.KEPT: (
        "not_let_go",
        "the arm holds, as --robot.disable_torque_on_disconnect=false says",
    ),
    let_go.UNKNOWN: ("not_let_go", "this robot can't be let go without control"),
}


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
        self._heeded = 0
        self._stops = 0
        self._to_let_go = False
        self._home_kept = False
        self._heard_at = 0.0
        self._reach_by = 0.0
        self._shutdown_by: float | None = None
        self.telemetry: dict[str, Any] = {}
        self.replayed: list[dict[str, Any]] = []

    def run(self) -> int:
        """Start everything and watch it until control has shut down; the exit status.

        Raises:
            ArmadaError: refused before anything moved.
        """
        with _handled(self._count_stop, signal.SIGUSR1):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
            cleared = clear_for_start(self._config)
            with _handled(self._count, signal.SIGINT, signal.SIGTERM):
                return self._run(cleared)

    def _run(self, cleared: Cleared) -> int:
        state = self._config.state
        self._keep_config(draccus.dump(self._config))
        self._log = EventLog(state.events, self._console)
        self._latch = Latch(state.latched_stop, self.emit)
        self._children = Children(self._config, cleared.locks)
        self._control = Child(self._children.control())
        helpers = [Child(s) for s in self._helper_specs(self._children)]
        inference = self._config.inference
        local = inference.fallback or not (inference.server or self._config.recorded.dataset)
        self._trial = Trial(
            self._config.releases,
            fps=self._config.fps,
            state=state,
            store=cleared.store,
            emit=self.emit,
        )
        workers = PolicyWorkers(
            self._children,
            cleared.store,
            self.emit,
            local=local,
            start_limit_s=inference.start_limit_s,
            on_trial=self._trial.begins,
            order=self._order,
        )
        try:
            return self._watch(helpers, workers)
        finally:
            # First what moves, while the recorder is there for its last episode.
            ended = self._control.end(grace_s=self._shutdown_limit_s)
            if ended is not None and ended.status == 0:
                self._to_let_go = False
            if self._to_let_go:
                self._let_go(Child(self._children.let_go()))
            for child in helpers:
                child.end(grace_s=3.0)
            workers.end()
            self._log.close()
            for lock in cleared.locks:
                os.close(lock)

    def emit(self, kind: str, cause: str, **data: Any) -> None:
        """An event of the supervisor's own, for the log and, through control, for everybody."""
        event: dict[str, Any] = {"event": kind, "cause": cause, "time": time.time(), "data": data}
        self._log.write(event)
        if self._channel is not None:
            self._channel.send("event", **event)

    # ---------------------------------------------------------------------------------------

    def _order(self, name: str, args: dict[str, Any]) -> None:
        """To control, at once; one that isn't there has no plans to act on either."""
        if self._channel is not None:
            self._channel.send("command", id=name, name=name, args=args)

    def _keep_config(self, text: str) -> None:
        path = self._config.state.config
        try:
            if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
                atomic.write_text(path, text)
        except OSError as error:
            raise ConfigError(
                f"the state folder can't be written: {error.strerror}",
                field="--state_dir",
                value=path.parent,
            ) from error

    def _helper_specs(self, children: Children) -> list[Any]:
        specs = [
            children.recorder(),
            children.link(),
            children.supernode(),
            children.executor(),
            children.trainer(),
        ]
        return [spec for spec in specs if spec is not None]

    @property
    def _shutdown_limit_s(self) -> float:
        return SHUTDOWN_LIMIT_S + PARK_TIMES * self._config.guard.park_s

    def _watch(self, helpers: list[Child], workers: PolicyWorkers) -> int:
        control = self._control
        self._obey_signals()
        self._start_control()
        for child in helpers:
            child.try_start()
        workers.poll()
        while not self._reach():
            ended = control.poll()
            if ended is not None:
                if ended.status == _REFUSED:
                    # It has let go what it took.
                    self._to_let_go = False
                elif self._shutdown_by is not None:
                    return 0
                raise DeviceError(self._last_words(ended))
            self._obey_signals()
        self.emit("started", f"{self._config.robot_name} runs", pid=os.getpid())
        while True:
            self._hear(workers)
            self._watch_over()
            ended = control.poll()
            if ended is not None and self._control_ended(ended):
                return 0
            if not control.alive:
                if self._shutdown_by is not None:
                    return 0
                self._start_control()
            elif self._channel is None:
                self._reach()
            for child in helpers:
                self._look_after(child)
            if self._shutdown_by is None:
                workers.poll()
            self._obey_signals()
            self._latch.retry()

    def _start_control(self) -> None:
        """For the first time, or again when that is due."""
        control = self._control
        # What it recorded before it ended isn't recorded again.
        left = self.telemetry.get("episodes_left")
        control.spec = self._children.control(stopped=self._latch.unkept, episodes=left)
        if not self._to_let_go:
            control.start()
        elif not control.restart_when_due():
            return
        self._to_let_go = True
        self._home_kept = False
        self._reach_by = time.monotonic() + START_LIMIT_S

    def _reach(self) -> bool:
        """Connect to control, if it listens by now."""
        try:
            channel = connect(self._config.state.control_socket)
        except LinkError:
            if time.monotonic() > self._reach_by:
                self._reach_by = time.monotonic() + START_LIMIT_S
                self.emit("control_hung", f"control didn't listen within {START_LIMIT_S:.0f} s")
                self._control.signal(signal.SIGKILL)
            time.sleep(0.1)
            return False
        self._channel = channel
        self._heard_at = time.monotonic()
        channel.send("hello", role="supervisor", pid=os.getpid(), subscribe=True)
        if self._control.restarts:
            self.emit("process_restarted", "control starts again", pid=self._control.pid)
        return True

    def _watch_over(self) -> None:
        if self._channel is None or not self._control.alive:
            return
        limit_s = SILENT_S if self._shutdown_by is None else ENDING_SILENT_S
        silent_s = time.monotonic() - self._heard_at
        if silent_s > limit_s:
            self._heard_at = time.monotonic()
            self.emit("control_hung", f"control has been silent for {silent_s:.0f} s")
            self._control.signal(signal.SIGKILL)

    def _last_words(self, ended: Exit) -> str:
        log = self._control.spec.log
        if ended.status == _REFUSED and (why := last_error(log)):
            return why
        return f"the control process {ended}: {last_line(log)} (see {log})"

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
            if workers is not None:
                self._trial.hear_telemetry(message.fields, workers)
            if not self._home_kept and (home := message.fields.get("home")):
                self._home_kept = self._keep_home(json.dumps(home))
        elif message.kind == "event":
            event = message.fields
            if event["event"] == "replayed":
                self.replayed = event["data"]["episodes"]
                return
            if event["event"] == "stopped":
                self._latch.keep(event["cause"])
            elif event["event"] == "cleared":
                self._latch.drop()
            elif event["event"] == "shutdown":
                self._begin_shutdown()
            # What this process said itself comes back with everybody else's copy.
            if event.get("via") != "supervisor":
                self._log.write(event)
            if workers is not None and event["event"] == "policy_hung":
                workers.kill(event["data"]["pid"])
            elif workers is not None and event["event"] == "policy_ready":
                workers.proved(event["data"]["pid"])
            if workers is not None and event.get("via") != "supervisor":
                self._trial.hear_event(event, workers)

    def _keep_home(self, text: str) -> bool:
        home = self._config.state.home
        try:
            if not home.is_file() or home.read_text(encoding="utf-8", errors="replace") != text:
                atomic.write_text(home, text)
        except OSError:
            return False
        return True

    def _begin_shutdown(self) -> None:
        """Whoever asked for it: from now on nothing is started again."""
        if self._shutdown_by is None:
            self._shutdown_by = time.monotonic() + self._shutdown_limit_s

    def _control_ended(self, ended: Exit) -> bool:
        """Whether that was the end of the agent."""
        if self._channel is not None:
            for message in self._channel.receive():
                self._on_message(message, None)
            self._channel.close()
            self._channel = None
        if ended.status == 0:
            self._to_let_go = False
            return True
        if self._shutdown_by is not None:
            return True
        lived_s = round(ended.lived_s, 1)
        cause = f"control {ended}"
        if ended.status == _REFUSED:
            cause += f": {self._last_words(ended)}"
        self.emit("process_ended", cause, lived_s=lived_s)
        return False

    def _let_go(self, child: Child) -> None:
        """Control is dead and won't come back: somebody must take torque away."""
        ended = None
        with contextlib.suppress(OSError):
            child.start()
            ended = child.wait(LET_GO_LIMIT_S)
        kind, cause = _LET_GO.get(-1 if ended is None else ended.status, _NOT_LET_GO)
        self.emit(kind, cause, log=str(child.spec.log))
        child.end(grace_s=1.0)

    def _look_after(self, child: Child) -> None:
        ended = child.poll()
        if ended is not None and self._shutdown_by is None:
            lived = round(ended.lived_s, 1)
            cause = f"{child.spec.name} {ended}"
            if ended.status == _REFUSED and (why := last_error(child.spec.log)):
                cause += f": {why}"
            self.emit("process_ended", cause, lived_s=lived)
        if self._shutdown_by is None and child.restart_when_due():
            self.emit("process_restarted", f"{child.spec.name} starts again", pid=child.pid)

    def _obey_signals(self) -> None:
        control = self._control
        if self._stops:
            self._stops = 0
            # A control that starts now reads what is kept; one that is there hears it at once.
            control.tell(signal.SIGUSR1)
            self._latch.keep("local signal SIGUSR1")
        if self._heeded < self._signals:
            # Asked twice, control ends without the way back to the pose at start.
            self._heeded += 1
            self._begin_shutdown()
            control.tell(signal.SIGTERM)
        if self._shutdown_by is not None and time.monotonic() > self._shutdown_by:
            control.signal(signal.SIGKILL)

    def _count(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _count_stop(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], *numbers: int) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
