"""``armada``: finds the subcommand and turns what it raises into one line and an exit status.

Exit status: 0 done, 1 the thing asked for failed, 2 bad input or a missing part, 130 interrupted.
"""

from __future__ import annotations

import difflib
import os
import sys
from importlib.metadata import entry_points, version

from rich.console import Console
from rich.table import Table

from agent.commands.base import Command
from robots.errors import ArmadaError, ConfigError

GROUP = "armada.commands"


def commands() -> dict[str, Command]:
    """All installed subcommands by name; a plug-in adds one by declaring an entry point."""
    found = [entry.load() for entry in entry_points(group=GROUP)]
    return {command.name: command for command in sorted(found, key=lambda c: (c.order, c.name))}


def _print_help(console: Console) -> None:
    console.print(
        f"[bold]armada[/bold] {version('armada')}: robot arms that learn from one another"
    )
    console.print("\nusage: armada COMMAND \\[options]   (armada COMMAND --help for more)\n")
    table = Table.grid(padding=(0, 3))
    for command in commands().values():
        table.add_row(f"  [bold]{command.name}[/bold]", command.help)
    console.print(table)
    console.print(
        "\nOptions are LeRobot's: --robot.type=so101_follower --robot.port=/dev/ttyACM0 "
        "--policy.path=…,\nor all of them in a file: --config_path=arm.yaml"
    )


def _command(name: str) -> Command:
    known = commands()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean `armada {near[0]}`?" if near else "See `armada --help`"
        raise ConfigError("there is no such command", field="command", value=name, remedy=hint)
    return known[name]


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console script."""
    args = sys.argv[1:] if argv is None else argv
    # Neither LeRobot nor Flower should phone home from a robot because a default says so.
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not args or args[0] in ("-h", "--help", "help"):
        _print_help(Console())
        return 0
    if args[0] == "--version":
        Console().print(version("armada"), highlight=False)
        return 0
    try:
        command = _command(args[0])
        sys.argv = [f"armada {command.name}", *args[1:]]
        return command.main(args[1:])
    except ArmadaError as error:
        Console(stderr=True, soft_wrap=True).print(f"armada: {error}", style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `armada … | head`: nobody reads on; that is no fault.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
