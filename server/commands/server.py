"""``armada server``: the middle of a fleet, until stopped; who belongs to it."""

from __future__ import annotations

from agent.commands.base import Command, show_verbs
from server.commands import admin


def main(argv: list[str]) -> int:
    """Serve, or what the verb says."""
    verbs = {
        "serve": _serve,
        "certs": admin.certs,
        "robots": admin.robots,
        "operators": admin.operators,
    }
    if argv and argv[0] in verbs:
        return verbs[argv[0]](argv[1:])
    if argv in (["-h"], ["--help"]):
        show_verbs("armada server", verbs)
        return 0
    # The thing itself needs no verb.
    return _serve(argv)


def _serve(argv: list[str]) -> int:
    """Run a fleet's server in the foreground (the verb may be left out)"""
    from rich.console import Console

    from agent import logs
    from agent.commands.parsing import parse
    from server.config import ServerConfig
    from server.supervisor import Server

    config = parse(ServerConfig, argv, prog="armada server")
    logs.configure()
    return Server(config, Console()).run()


COMMAND = Command(
    "server", "run a fleet's server: SuperLink, rounds, releases; who belongs to it", main, 30
)
