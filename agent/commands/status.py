"""``armada status``: the robots of a fleet, or the agent on this host."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.base import Command

if TYPE_CHECKING:
    from rich.table import Table

    from agent.commands.operator_config import StatusConfig


def main(argv: list[str]) -> int:
    """Status 0 when every robot is online, 1 when one isn't or there is none."""
    from rich.console import Console
    from rich.live import Live

    from agent.commands.operator_config import StatusConfig
    from agent.commands.parsing import parse

    config = parse(StatusConfig, argv, prog="armada status")
    console = Console()
    robots = look(config)
    if config.json and config.watch:
        while True:
            console.print(json.dumps(robots), markup=False, highlight=False, soft_wrap=True)
            time.sleep(1.0)
            robots = look(config)
    if config.watch:
        with Live(table(robots, config.fleet), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(1.0)
                live.update(table(look(config), config.fleet), refresh=True)
    if config.json:
        console.print_json(json.dumps(robots))
    elif robots:
        console.print(table(robots, config.fleet))
    else:
        console.print(f"The fleet {config.fleet} has no robots yet.")
    return 0 if robots and all(r["state"] != "offline" for r in robots) else 1


def look(config: StatusConfig) -> list[dict[str, Any]]:
    """One entry a robot: robot, fleet, state, time, telemetry."""
    if config.state_dir:
        from agent.commands.stop import order
        from agent.paths import StateDir

        telemetry = order(StateDir(Path(config.state_dir)), "status", {})
        return [
            {
                "robot": Path(config.state_dir).name,
                "fleet": "",
                "state": telemetry["state"],
                "time": telemetry["time"],
                "telemetry": telemetry,
            }
        ]
    from agent.link.operator import as_json, fleet_status

    broker = config.broker
    statuses = fleet_status(broker.host, broker.port, config.fleet, login=broker.login)
    return [as_json(status) for status in statuses]


def table(robots: list[dict[str, Any]], fleet: str) -> Table:
    """The robots as people want to see them."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(
        "robot", "state", "source", "rate", "late", "starved", "chunk p50", "episodes", "model",
        title=f"fleet {fleet}",
    )  # fmt: skip
    for robot in robots:
        said = robot["telemetry"]
        # As text, not as markup: it came over the network.
        cells = (
            robot["robot"],
            robot["state"],
            said.get("source"),
            _number(said.get("rate_hz"), ".1f", " Hz"),
            said.get("late_ticks"),
            said.get("starved_ticks"),
            _number(said.get("chunk_latency_ms_p50"), ".0f", " ms"),
            said.get("episodes"),
            str(said.get("digest") or "").removeprefix("sha256:")[:12] or None,
        )
        style = "red" if robot["state"] == "offline" else ""
        shown.add_row(*(Text("–" if cell is None else str(cell)) for cell in cells), style=style)
    return shown


def _number(value: Any, form: str, unit: str) -> Any:
    return f"{value:{form}}{unit}" if isinstance(value, int | float) else value


COMMAND = Command("status", "who is there and how the arms do", main, 30)
