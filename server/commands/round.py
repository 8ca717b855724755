"""``armada round start | list | show | cancel``: rounds, from any host that reaches the server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agent.commands.base import Command, show_verbs
from robots.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from agent.fleet import FleetClient
    from agent.proto import fleet_pb2 as pb

_USAGE = (
    "Use `armada round start`, `armada round list`, `armada round show N` or "
    "`armada round cancel N`"
)
_FAILED = 1

_SILENCE_S = 120.0
"""Longest that a server may be away while its round is followed: it is started again, or the link
is down."""

_AGAIN_S = 1.0


def main(argv: list[str]) -> int:
    """Dispatch to the verb."""
    verbs = {"start": _start, "list": _list, "show": _show, "cancel": _cancel}
    if argv and argv[0] in ("-h", "--help"):
        show_verbs("armada round", verbs)
        return 0
    if not argv or argv[0] not in verbs:
        raise ConfigError(
            "needs a verb", field="round", value=argv[0] if argv else None, remedy=_USAGE
        )
    return verbs[argv[0]](argv[1:])


def _start(argv: list[str]) -> int:
    """Start a round and follow it to its end; 1 if it failed."""
    from rich.console import Console

    from agent.commands.parsing import parse
    from server.commands.config import RoundStartConfig
    from server.rounds.messages import request_of

    config = parse(RoundStartConfig, argv, prog="armada round start")
    spec = config.spec()
    with config.client() as client:
        started = client.start_round(request_of(spec))
        return _follow(client, started.id, Console(), as_json=config.json)


def _show(argv: list[str]) -> int:
    """Print the events of a round, to its end if it is running; 1 if it failed."""
    from rich.console import Console

    from agent.commands.parsing import parse
    from server.commands.config import RoundShowConfig

    config = parse(RoundShowConfig, argv, prog="armada round show", positional=("number",))
    with config.client() as client:
        return _follow(client, config.number, Console(), as_json=config.json)


def _cancel(argv: list[str]) -> int:
    """End a round that runs or is queued."""
    import getpass

    from rich.console import Console

    from agent.commands.parsing import parse
    from server.commands.config import RoundCancelConfig

    config = parse(RoundCancelConfig, argv, prog="armada round cancel", positional=("number",))
    with config.client() as client:
        cancelled = client.cancel_round(config.number, config.by or getpass.getuser())
    if config.json:
        _print_json(Console(), _as_dict(cancelled))
    else:
        Console().print(f"round {cancelled.id} is {cancelled.status}")
    return 0


def _list(argv: list[str]) -> int:
    """List the newest rounds, oldest first."""
    from rich.console import Console
    from rich.table import Table

    from agent.commands.parsing import parse
    from server.commands.config import RoundListConfig

    config = parse(RoundListConfig, argv, prog="armada round list")
    console = Console()
    with config.client() as client:
        rounds = client.rounds()
    if config.json:
        for entry in rounds:
            _print_json(console, _as_dict(entry))
        return 0
    table = Table("round", "asked for", "by", "status", "rounds", "steps", "releases", "reason")
    for entry in rounds:
        table.add_row(
            str(entry.id),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.started)),
            entry.request.by,
            entry.status,
            str(entry.request.rounds),
            str(entry.request.train.steps),
            ", ".join(str(v) for v in entry.releases),
            entry.reason,
        )
    console.print(table)
    if rounds and rounds[0].id > 1:
        console.print("These are the newest; of an older one: armada round show N")
    return 0


def _follow(client: FleetClient, number: int, console: Console, *, as_json: bool) -> int:
    """Print events to the end; 1 if the round failed."""
    from server.commands.view import RoundView

    status = _FAILED
    with RoundView(console, number) if not as_json else _Quiet() as view:
        for event in _events(client, number):
            if as_json:
                _print_json(console, {"round": number, **event})
            view.show(event)
            if event["kind"] == "finished":
                status = 0
    return status


def _events(client: FleetClient, number: int) -> Iterator[dict[str, Any]]:
    """To the last one, also over a link that is cut and a server that is started again."""
    from agent.fleet import UnreachableError

    seen = 0
    while True:
        try:
            for event in client.watch_round(number, seen):
                seen = event.sequence
                yield {
                    "sequence": event.sequence,
                    "time": event.time,
                    "kind": event.kind,
                    "data": json.loads(event.data_json),
                }
        except UnreachableError:
            if not seen:
                raise
            _wait_for(client, number)
        else:
            return


def _wait_for(client: FleetClient, number: int) -> None:
    """Until the server answers again.

    Raises:
        UnreachableError: it doesn't.
    """
    from agent.fleet import UnreachableError

    deadline = time.monotonic() + _SILENCE_S
    while True:
        time.sleep(_AGAIN_S)
        try:
            client.rounds()
        except UnreachableError as error:
            if time.monotonic() > deadline:
                raise UnreachableError(
                    str(error), remedy=f"The round goes on without you: armada round show {number}"
                ) from error
        else:
            return


class _Quiet:
    """Shows nothing."""

    def __enter__(self) -> _Quiet:
        return self

    def __exit__(self, *reason: object) -> None:
        return None

    def show(self, event: dict[str, Any]) -> None:
        return None


def _as_dict(entry: pb.Round) -> dict[str, Any]:
    return {
        "id": entry.id,
        "run_id": entry.run_id,
        "started": entry.started,
        "by": entry.request.by,
        "status": entry.status,
        "reason": entry.reason,
        "releases": list(entry.releases),
    }


def _print_json(console: Console, value: dict[str, Any]) -> None:
    console.print(json.dumps(value), markup=False, highlight=False, soft_wrap=True)


COMMAND = Command("round", "start, follow, list and cancel federated rounds", main, 31)
