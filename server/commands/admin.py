"""``armada server certs | robots | operators``: who belongs to a fleet, and how its hosts prove it.

Files are changed and nobody is called: the server that runs notices within a second, one that
doesn't run finds them when it starts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def certs(argv: list[str]) -> int:
    """Make a certificate authority and the server's certificate: certs FOLDER --hosts=…"""
    from rich.console import Console

    from agent.commands.parsing import parse
    from server.certs import make_certs
    from server.commands.admin_config import CertsConfig

    config = parse(CertsConfig, argv, prog="armada server certs", positional=("folder",))
    made = make_certs(Path(config.folder), config.names, fleet=config.fleet)
    console = Console()
    _print(console, f"server: --tls_cert={made.cert} --tls_key={made.key} --tls_ca={made.ca}")
    _print(console, f"robots and operators: a copy of {made.ca}")
    _print(console, f"keep {made.ca_key} where nobody else reads it")
    return 0


def robots(argv: list[str]) -> int:
    """Robots that may join: robots add NAME --key=…, robots remove NAME, robots list"""
    from rich.console import Console

    from agent.commands.parsing import parse
    from server.commands.admin_config import RobotsConfig
    from server.nodes import Nodes
    from server.tokens import Tokens

    config = parse(RobotsConfig, argv, prog="armada server robots", positional=("verb", "name"))
    state, console = config.state, Console()
    nodes, tokens = Nodes(state.registered), Tokens(state.robot_tokens)
    if config.verb == "add":
        nodes.add(config.name, config.public_key)
        _tell_token(console, config.name, tokens.add(config.name), as_json=config.json)
    elif config.verb == "remove":
        nodes.remove(config.name)
        if config.name in tokens.robots():
            tokens.remove(config.name)
    else:
        for name, key in sorted(nodes.keys().items()):
            line = json.dumps({"name": name, "key": key}) if config.json else f"{name}  {key}"
            _print(console, line)
    return 0


def operators(argv: list[str]) -> int:
    """Who may start rounds: operators add NAME, operators remove NAME, operators list"""
    from rich.console import Console

    from agent.commands.parsing import parse
    from server.commands.admin_config import AdminConfig
    from server.tokens import Tokens

    config = parse(AdminConfig, argv, prog="armada server operators", positional=("verb", "name"))
    tokens, console = Tokens(config.state.operator_tokens), Console()
    if config.verb == "add":
        _tell_token(console, config.name, tokens.add(config.name), as_json=config.json)
    elif config.verb == "remove":
        tokens.remove(config.name)
    else:
        for name in tokens.robots():
            _print(console, json.dumps({"name": name}) if config.json else name)
    return 0


def _tell_token(console: Console, name: str, token: str, *, as_json: bool) -> None:
    """It is kept nowhere: this is the one time that it can be read."""
    _print(console, json.dumps({"name": name, "token": token}) if as_json else token)


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
