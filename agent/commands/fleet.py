"""``armada fleet ORDER ROBOT``: the operator's orders over MQTT."""

from __future__ import annotations

import json

from agent.commands.base import Command


def main(argv: list[str]) -> int:
    """Status 1 when a robot refused."""
    from rich.console import Console

    from agent.commands.operator_config import FleetConfig
    from agent.commands.parsing import parse
    from agent.link.operator import as_json, send_command

    config = parse(FleetConfig, argv, prog="armada fleet", positional=("order", "robot"))
    replies = send_command(
        config.broker.host,
        config.broker.port,
        config.fleet,
        config.robot,
        config.order,
        config.args,
        timeout_s=config.timeout_s,
        login=config.broker.login,
    )
    console = Console()
    if config.json:
        console.print_json(json.dumps([as_json(r) for r in replies]))
    else:
        for reply in replies:
            said = "done" if reply.ok else f"not done: {reply.error}"
            console.print(f"{reply.robot}: {said}", markup=False, soft_wrap=True)
            if reply.result is not None:
                console.print_json(json.dumps(reply.result))
    return int(not all(reply.ok for reply in replies))


COMMAND = Command("fleet", "order robots: stop, clear, source, record, pull, rollback …", main, 32)
