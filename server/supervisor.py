"""``armada server``: brings up what a fleet needs in the middle, and keeps it up.

Processes: the SuperLink and the SuperExec (Flower), the fleet service (ours), and a broker if none
is configured. This one starts, watches and restarts them and does nothing else. No state is kept in
memory: a server that is killed goes on where its state folder says.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import draccus
from rich.console import Console
from rich.table import Table

from agent.policy.atomic import write_text
from agent.supervisor.child import Child
from agent.supervisor.events import EventLog
from agent.supervisor.locks import take
from robots.errors import ConfigError, FederationError
from server.announce import reachable
from server.base import Base, import_base
from server.broker import broker_spec
from server.config import ServerConfig
from server.flower_cli import write_connection
from server.health import Health
from server.processes import ensure_secret, fleet_spec, superexec_spec, superlink_spec
from server.registry.releases import Releases
from server.tokens import Tokens

POLL_S = 0.2
START_LIMIT_S = 90.0
_GRACE_S = 3.0


class Server:
    """A fleet's central host.

    Args:
        config: What to run.
        console: Where people look.
    """

    def __init__(self, config: ServerConfig, console: Console) -> None:
        self._config = config
        self._console = console
        self._stop = threading.Event()
        self._release_key = ""
        self._ready_failed = False

    def run(self) -> int:
        """Run until SIGINT or SIGTERM; the exit status.

        Raises:
            ArmadaError: refused before anything listened, or a part that doesn't come up.
        """
        config, state = self._config, self._config.state
        with ExitStack() as stack:
            stack.enter_context(self._signals())
            _create(config)
            message = "another server uses this state folder"
            lock = take(state.lock, field="--state_dir", value=state.root, message=message)
            stack.callback(os.close, lock)
            _check_ports(config)
            base = import_base(config.policy.path, state.base, config.trains)
            releases = Releases(state.releases)
            releases.add_base(base)
            self._release_key = releases.signer.public
            ensure_secret(state.secret)
            write_connection(config)
            state.config.write_text(draccus.dump(config), encoding="utf-8")
            log = EventLog(state.root / "events.jsonl", self._console)
            stack.callback(log.close)
            specs = [superlink_spec(config), superexec_spec(config), fleet_spec(config)]
            if not config.broker.host:
                specs.append(broker_spec(state.root, *config.broker_address))
            children = [Child(spec) for spec in specs]
            for path in (state.fleet, state.ready):
                path.unlink(missing_ok=True)
            stack.callback(state.ready.unlink, missing_ok=True)
            stack.callback(_end, children)
            for child in children:
                child.start()
            if self._await_ready(children):
                self._tell_ready(base, children)
                self._watch(base, children, log)
        return 0

    def _watch(self, base: Base, children: list[Child], log: EventLog) -> None:
        config, superlink = self._config, children[0]
        health = Health(config.control_address, Path(config.tls_ca) if config.tls else None)
        stale = False
        while not self._stop.wait(POLL_S):
            if not superlink.alive:
                health.started()
            elif health.hangs():
                health.started()
                log.write(_event("superlink_hung", "the SuperLink doesn't answer: it is restarted"))
                superlink.signal(signal.SIGKILL)
            for child in children:
                name, ended = child.spec.name, child.poll()
                if ended is not None:
                    lived = round(ended.lived_s, 1)
                    log.write(_event("process_ended", f"{name} {ended}", lived_s=lived))
                if child.restart_when_due():
                    log.write(_event("process_restarted", f"{name} starts again", pid=child.pid))
                    stale = True
            if stale:
                stale = not self._try_write_ready(base, children, log)

    def _await_ready(self, children: list[Child]) -> bool:
        """Whether all came up; False if it was stopped before.

        Raises:
            FederationError: one of them ended or none answered in time.
        """
        deadline = time.monotonic() + START_LIMIT_S
        while not self._config.state.fleet.exists():
            for child in children:
                ended = child.poll()
                if ended is not None:
                    raise FederationError(
                        f"{child.spec.name} {ended}", remedy=f"See {child.spec.log}"
                    )
            if time.monotonic() > deadline:
                raise FederationError(
                    f"the SuperLink did not answer within {START_LIMIT_S:g} s",
                    remedy=f"See {self._config.state.logs}",
                )
            if self._stop.wait(POLL_S):
                return False
        return True

    def _ready(self, base: Base, children: list[Child]) -> dict[str, Any]:
        config = self._config
        host, port = config.broker_address
        return {
            "fleet": config.fleet,
            "pid": os.getpid(),
            "server": config.address,
            "superlink": config.superlink_address,
            "control": config.control_address,
            "broker": f"{host}:{port}",
            "policy": base.source,
            "base_digest": base.base_digest,
            "release_key": self._release_key,
            "pids": {child.spec.name: child.pid for child in children},
        }

    def _write_ready(self, base: Base, children: list[Child]) -> None:
        write_text(self._config.state.ready, json.dumps(self._ready(base, children), indent=1))

    def _try_write_ready(self, base: Base, children: list[Child], log: EventLog) -> bool:
        """Whether it is written; if not (a full disk, say) the next look tries again."""
        try:
            self._write_ready(base, children)
        except OSError as error:
            if not self._ready_failed:
                cause = f"{self._config.state.ready} can't be written: {error.strerror}"
                log.write(_event("ready_not_written", cause))
            self._ready_failed = True
        else:
            self._ready_failed = False
        return not self._ready_failed

    def _tell_ready(self, base: Base, children: list[Child]) -> None:
        self._write_ready(base, children)
        ready = self._ready(base, children)
        shown = ready | {
            key: reachable(self._config.host, port) or f"port {port} of this host"
            for key, port in (
                ("server", self._config.port),
                ("superlink", self._config.superlink_port),
            )
        }
        table = Table(title=f"fleet {self._config.fleet}", title_justify="left", show_header=False)
        for label, key, flag in (
            ("rounds and releases", "server", "--federation.server"),
            ("SuperLink", "superlink", "--federation.superlink"),
            ("broker", "broker", "--broker.host, --broker.port"),
            ("base policy", "policy", "--policy.path"),
            ("release key", "release_key", "--federation.release_key"),
        ):
            table.add_row(label, str(shown[key]), flag)
        self._console.print(table)
        line = "ready " + json.dumps(ready)
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self._stop.set()

        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _event(kind: str, cause: str, **data: Any) -> dict[str, Any]:
    return {"event": kind, "cause": cause, "time": time.time(), "data": data}


def _create(config: ServerConfig) -> None:
    try:
        config.state.create()
        if config.tls:
            for path in (config.state.robot_tokens, config.state.operator_tokens):
                # Whoever adds one as root leaves the file the server's.
                Tokens(path).create()
    except OSError as error:
        raise ConfigError(
            f"the state folder can't be made: {error.strerror}",
            field="--state_dir",
            value=config.state.root,
        ) from error


def _check_ports(config: ServerConfig) -> None:
    """Raises: ConfigError for the first port that something else listens on."""
    for flag, host, port in (
        ("--port", config.host, config.port),
        ("--superlink_port", config.host, config.superlink_port),
        ("--control_port", "127.0.0.1", config.control_port),
    ):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
            # As servers bind: a port in TIME_WAIT is free.
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((host, port))
            except OSError as error:
                raise ConfigError(
                    f"can't be listened on ({error.strerror})", field=flag, value=port
                ) from error


def _end(children: list[Child]) -> None:
    for child in children:
        child.signal(signal.SIGTERM)
    for child in children:
        child.end(_GRACE_S)
