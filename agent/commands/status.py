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
    if config.json:
        console.print_json(json.dumps(robots))
    elif config.watch:
        with Live(table(robots, config.fleet), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(1.0)
                live.update(table(look(config), config.fleet), refresh=True)
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

    statuses = fleet_status(config.broker.host, config.broker.port, config.fleet)
    return [as_json(status) for status in statuses]


def table(robots: list[dict[str, Any]], fleet: str) -> Table:
    """The robots as people want to see them."""
    from rich.table import Table

    shown = Table(
        "robot", "state", "source", "rate", "late", "starved", "chunk p50", "episodes", "model",
        title=f"fleet {fleet}",
    )  # fmt: skip
    for robot in robots:
        said = robot["telemetry"]
        latency = said.get("chunk_latency_ms_p50")
        shown.add_row(
            robot["robot"],
            f"[red]{robot['state']}[/]" if robot["state"] == "offline" else robot["state"],
            str(said.get("source", "–")),
            f"{said['rate_hz']:.1f} Hz" if "rate_hz" in said else "–",
            str(said.get("late_ticks", "–")),
            str(said.get("starved_ticks", "–")),
            "–" if latency is None else f"{latency:.0f} ms",
            str(said.get("episodes", "–")),
            str(said.get("digest") or "–")[7:19],
        )
    return shown


COMMAND = Command("status", "who is there and how the arms do", main, 30)
