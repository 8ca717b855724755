"""``armada key``: who this robot is to its fleet."""

from __future__ import annotations

from agent.commands.base import Command


def main(argv: list[str]) -> int:
    """Print the robot's public key; it is made if there is none."""
    from rich.console import Console

    from agent.commands.key_config import KeyConfig
    from agent.commands.parsing import parse
    from agent.federation.keys import ensure_key, public_line

    config = parse(KeyConfig, argv, prog="armada key", positional=("name",))
    line = public_line(ensure_key(config.state.node_key), config.name)
    Console().print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


COMMAND = Command("key", "show this robot's public key, for the fleet's operator", main, 33)
