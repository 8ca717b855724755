"""``armada policy-server``: serves chunks to robots with small hosts; its tokens, its status."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.base import Command, show_verbs
from robots.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

_TOKEN_USAGE = "Use `armada policy-server token add|remove|list --tokens=FILE`"


def main(argv: list[str]) -> int:
    """Serve, or what the verb says."""
    verbs = {"serve": _serve, "status": _status, "token": _token}
    if argv and argv[0] in verbs:
        return verbs[argv[0]](argv[1:])
    if argv in (["-h"], ["--help"]):
        show_verbs("armada policy-server", verbs)
        return 0
    # The thing itself needs no verb.
    return _serve(argv)


def _serve(argv: list[str]) -> int:
    """Serve a policy until stopped (the verb may be left out)."""
    # Heard anew once there is something to load anew (server/policy/serve.py); until then, imports
    # take seconds, a reload is nothing to die of.
    signal.signal(signal.SIGHUP, lambda *_: None)
    from rich.console import Console

    from agent import logs
    from agent.commands.parsing import parse
    from server.policy.config import PolicyServerConfig

    config = parse(PolicyServerConfig, argv, prog="armada policy-server")
    logs.configure()
    # Without a file rich looks sys.stdout up at each line, and that isn't ours while a model loads
    # in its thread (agent/policy/load.py).
    console = Console(file=sys.stdout)
    from server.commands.policy_view import line
    from server.policy.serve import run

    def tell(event: str, data: dict[str, Any]) -> None:
        if config.json:
            _print_json(console, {"event": event, **data})
        elif event == "status":
            _print(console, f"status {line(data)}")
        else:
            _print(console, f"{event} {json.dumps(data)}")

    return run(config, tell)


def _status(argv: list[str]) -> int:
    """Print what a running server does and did."""
    from rich.console import Console

    from agent.commands.parsing import parse
    from server.commands.policy_view import StatusConfig, ask_status, table

    config = parse(StatusConfig, argv, prog="armada policy-server status", positional=("server",))
    status = ask_status(config)
    console = Console()
    if config.json:
        _print_json(console, status)
    else:
        console.print(table(status))
    return 0


def _token(argv: list[str]) -> int:
    """Make, void or list the robots' tokens: token add|remove ROBOT, token list."""
    from rich.console import Console

    from agent.commands.parsing import parse
    from server.commands.policy_view import TokenConfig
    from server.tokens import Tokens

    if argv in (["-h"], ["--help"]):
        argv = ["list", "--help"]
    config = parse(
        TokenConfig, argv, prog="armada policy-server token", positional=("verb", "robot")
    )
    if config.verb not in ("add", "remove", "list"):
        raise ConfigError(
            "needs a verb", field="token", value=config.verb or None, remedy=_TOKEN_USAGE
        )
    if (config.verb == "list") == bool(config.robot) or not config.tokens:
        raise ConfigError("names no file or no robot", field="token", remedy=_TOKEN_USAGE)
    tokens, console = Tokens(Path(config.tokens)), Console()
    if config.verb == "add":
        _print(console, tokens.add(config.robot))
    elif config.verb == "remove":
        tokens.remove(config.robot)
    else:
        for robot in tokens.robots():
            _print(console, robot)
    return 0


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_json(console: Console, value: dict[str, Any]) -> None:
    _print(console, json.dumps(value))


COMMAND = Command(
    "policy-server", "serve a policy to robots whose host is too small for it", main, 32
)
