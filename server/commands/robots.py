"""``armada robots [list | decisions]``: what the server knows of the robots and of what they
decided."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from agent.commands.base import Command, show_verbs
from robots.errors import ConfigError

if TYPE_CHECKING:
    from agent.proto import fleet_pb2 as pb


def main(argv: list[str]) -> int:
    """Dispatch to the verb; without one, list them."""
    verbs = {"list": _list, "decisions": _decisions}
    if argv and argv[0] in ("-h", "--help"):
        show_verbs("armada robots", verbs)
        return 0
    if not argv or argv[0].startswith("--"):
        return _list(argv)
    if argv[0] not in verbs:
        raise ConfigError(
            "is no verb", field="robots", value=argv[0], remedy="One of: list, decisions"
        )
    return verbs[argv[0]](argv[1:])


def _list(argv: list[str]) -> int:
    """List the robots: how they stand, their episodes and their release."""
    from rich.console import Console
    from rich.table import Table

    from agent.commands.parsing import parse
    from server.commands.robots_config import RobotListConfig

    config = parse(RobotListConfig, argv, prog="armada robots list")
    console = Console()
    with config.client() as client:
        robots = client.robots()
    if config.json:
        for robot in robots:
            _print_json(console, _as_dict(robot))
        return 0
    table = Table("robot", "state", "heard", "episodes", "new", "release", "last decision")
    for robot in robots:
        table.add_row(
            robot.name,
            robot.state,
            _clock(robot.heard) if robot.heard else "never",
            str(robot.episodes),
            str(robot.new_episodes),
            str(robot.release or ""),
            robot.last_decision,
        )
    console.print(table)
    return 0


def _decisions(argv: list[str]) -> int:
    """List what robots decided of releases, oldest first, with the reason and the numbers."""
    from rich.console import Console
    from rich.table import Table

    from agent.commands.parsing import parse
    from server.commands.robots_config import DecisionsConfig

    config = parse(DecisionsConfig, argv, prog="armada robots decisions")
    console = Console()
    with config.client() as client:
        decisions = client.decisions(config.robot, config.version)
    if config.json:
        for entry in decisions:
            _print_json(
                console,
                {
                    "robot": entry.robot,
                    "time": entry.time,
                    "event": entry.event,
                    "cause": entry.cause,
                    "data": json.loads(entry.data_json),
                },
            )
        return 0
    table = Table("when", "robot", "release", "what", "why")
    for entry in decisions:
        version = json.loads(entry.data_json).get("version", "")
        table.add_row(_clock(entry.time), entry.robot, str(version), entry.event, entry.cause)
    console.print(table)
    return 0


def _as_dict(robot: pb.Robot) -> dict[str, Any]:
    return {
        "robot": robot.name,
        "state": robot.state,
        "heard": robot.heard,
        "episodes": robot.episodes,
        "new_episodes": robot.new_episodes,
        "release": robot.release,
        "last_decision": robot.last_decision,
    }


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _print_json(console: Any, value: dict[str, Any]) -> None:
    console.print(json.dumps(value), markup=False, highlight=False, soft_wrap=True)


COMMAND = Command("robots", "list robots, their episodes, and what they made of releases", main, 33)
