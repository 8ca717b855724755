"""The fleet service, in a process of its own: answers robots and operators, watches over the round
that runs, announces releases, hears the robots, and starts what is scheduled.

Not in the process that starts the others: gRPC and MQTT keep threads, and a process with threads
can't safely fork (measured: of ten children that were started so, two died of SIGSEGV).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import grpc

from agent import logs
from agent.commands.parsing import parse
from agent.policy.atomic import write_text
from robots.errors import ArmadaError
from server.access import Access
from server.announce import Announcer
from server.config import ServerConfig
from server.flower_control import FlowerControl
from server.line import BrokerLine
from server.registrar import Registrar
from server.registry.releases import Releases
from server.robots.decisions import Decisions
from server.robots.listen import RobotListener
from server.robots.roster import Roster
from server.rounds.rounds import Rounds
from server.schedule.book import Book
from server.schedule.clockwork import Clockwork
from server.schedule.starter import RoundStarter
from server.service import serve
from server.tokens import Tokens
from server.whole import WholeService

POLL_S = 0.5
_REFUSED = 2

log = logging.getLogger(__name__)


def run(config: ServerConfig, stop: threading.Event) -> None:
    """Answer until ``stop``.

    Raises:
        ConfigError: the port is taken.
    """
    state = config.state
    with ExitStack() as stack:
        tls_ca = Path(config.tls_ca) if config.tls else None
        control = stack.enter_context(FlowerControl(config.control_address, tls_ca))
        rounds = Rounds(state.rounds, control, config.min_free_gb)
        releases = Releases(state.releases)
        while not control.reachable():
            if stop.wait(POLL_S):
                return
        registrar = Registrar(state, control) if config.tls else None
        if registrar is not None:
            registrar.poll()
        state.robots.mkdir(exist_ok=True)
        roster = Roster(state.robots / "statuses.json")
        decisions = Decisions(state.robots / "decisions.jsonl")
        book = Book(state.schedules)
        service = serve(
            WholeService(rounds, releases, roster, decisions, book),
            config.address,
            _credentials(config),
            _access(config),
        )
        stack.callback(lambda: service.stop(grace=0.5).wait())
        listener = RobotListener(config.fleet, roster, decisions)
        line = stack.enter_context(BrokerLine(config, listener.topics, listener.hear))
        announcer = Announcer(config, releases, line)
        clockwork = Clockwork(book, RoundStarter(rounds), roster.all)
        write_text(state.fleet, json.dumps({"pid": os.getpid(), "server": config.address}))
        stack.callback(state.fleet.unlink, missing_ok=True)
        pruned: int | None = None
        while not stop.wait(POLL_S):
            rounds.poll()
            if releases.latest != pruned:
                pruned = releases.latest
                releases.prune(config.keep_releases)
            if registrar is not None:
                registrar.poll()
            announcer.announce()
            clockwork.poll()
            roster.save()


def _access(config: ServerConfig) -> list[grpc.ServerInterceptor]:
    """Whoever reaches a server without TLS is on its host."""
    if not config.tls:
        return []
    return [Access(Tokens(config.state.robot_tokens), Tokens(config.state.operator_tokens))]


def _credentials(config: ServerConfig) -> grpc.ServerCredentials | None:
    if not config.tls:
        return None
    key, chain = Path(config.tls_key).read_bytes(), Path(config.tls_cert).read_bytes()
    return grpc.ssl_server_credentials([(key, chain)])


def main(argv: list[str]) -> int:
    """Run from the configuration that the supervisor wrote."""
    logs.configure()
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        run(parse(ServerConfig, argv, prog="server.fleet"), stop)
    except ArmadaError as error:
        log.error("%s", error)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
