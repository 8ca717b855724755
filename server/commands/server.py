"""``armada server``: the middle of a fleet, until stopped."""

from __future__ import annotations

from agent.commands.base import Command


def main(argv: list[str]) -> int:
    """Run a fleet's server in the foreground."""
    from rich.console import Console

    from agent import logs
    from agent.commands.parsing import parse
    from server.config import ServerConfig
    from server.supervisor import Server

    config = parse(ServerConfig, argv, prog="armada server")
    logs.configure()
    return Server(config, Console()).run()


COMMAND = Command("server", "run a fleet's server: SuperLink, rounds, releases, broker", main, 30)
