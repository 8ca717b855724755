"""``armada schedule set | list | remove | pause | resume``: rounds that start by themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent.commands.base import Command, show_verbs
from robots.errors import ConfigError, FederationError

if TYPE_CHECKING:
    from agent.proto import fleet_pb2 as pb


def main(argv: list[str]) -> int:
    """Dispatch to the verb."""
    verbs = {"set": _set, "list": _list, "remove": _remove, "pause": _pause, "resume": _resume}
    if argv and argv[0] in ("-h", "--help"):
        show_verbs("armada schedule", verbs)
        return 0
    if not argv or argv[0] not in verbs:
        raise ConfigError(
            "needs a verb",
            field="schedule",
            value=argv[0] if argv else None,
            remedy=f"One of: {', '.join(verbs)}",
        )
    return verbs[argv[0]](argv[1:])


def _set(argv: list[str]) -> int:
    """Start rounds by the clock, or when robots have recorded enough."""
    import getpass

    from agent.commands.parsing import parse
    from agent.proto import fleet_pb2 as pb
    from server.commands.schedule_config import ScheduleSetConfig
    from server.rounds.messages import request_of

    config = parse(
        ScheduleSetConfig, _quoted(argv), prog="armada schedule set", positional=("name",)
    )
    schedule = pb.Schedule(
        name=config.name,
        cron=config.cron,
        timezone=config.timezone,
        robots=config.robots,
        new_episodes=config.new_episodes,
        missed=config.missed,
        paused=config.paused,
        request=request_of(config.spec()),
        by=config.by or getpass.getuser(),
    )
    with config.client() as client:
        _show([client.set_schedule(schedule)], as_json=config.json)
    return 0


def _quoted(argv: list[str]) -> list[str]:
    """Flags are read as YAML, in which what begins with a ``*`` stands for something else."""
    flag = "--cron="
    return [
        flag + json.dumps(word.removeprefix(flag)) if word.startswith(f"{flag}*") else word
        for word in argv
    ]


def _list(argv: list[str]) -> int:
    """List the schedules, when each is due and what came of it last."""
    from agent.commands.parsing import parse
    from server.commands.schedule_config import ScheduleListConfig

    config = parse(ScheduleListConfig, argv, prog="armada schedule list")
    with config.client() as client:
        _show(client.schedules(), as_json=config.json)
    return 0


def _remove(argv: list[str]) -> int:
    """Remove one; a round that it started goes on."""
    import getpass

    from agent.commands.parsing import parse
    from server.commands.schedule_config import ScheduleNameConfig

    config = parse(ScheduleNameConfig, argv, prog="armada schedule remove", positional=("name",))
    with config.client() as client:
        client.remove_schedule(config.name, config.by or getpass.getuser())
    return 0


def _pause(argv: list[str]) -> int:
    """Keep one, and let it start nothing."""
    return _change(argv, "pause", paused=True)


def _resume(argv: list[str]) -> int:
    """Let a paused one start rounds again, from its next slot on."""
    return _change(argv, "resume", paused=False)


def _change(argv: list[str], verb: str, *, paused: bool) -> int:
    import getpass

    from agent.commands.parsing import parse
    from server.commands.schedule_config import ScheduleNameConfig

    config = parse(ScheduleNameConfig, argv, prog=f"armada schedule {verb}", positional=("name",))
    with config.client() as client:
        found = [s for s in client.schedules() if s.name == config.name]
        if not found:
            raise FederationError("there is no such schedule", field="schedule", value=config.name)
        (schedule,) = found
        schedule.paused = paused
        schedule.by = config.by or getpass.getuser()
        _show([client.set_schedule(schedule)], as_json=config.json)
    return 0


def _show(schedules: list[pb.Schedule], *, as_json: bool) -> None:
    from google.protobuf.json_format import MessageToDict
    from rich.console import Console
    from rich.table import Table

    from server.schedule.clock import shown

    console = Console()
    if as_json:
        for entry in schedules:
            text = json.dumps(MessageToDict(entry, preserving_proto_field_name=True))
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        return
    table = Table("schedule", "when", "missed", "next", "last", "outcome", "by")
    for entry in schedules:
        following = shown(entry.next, entry.timezone) if entry.next else "when they have them"
        table.add_row(
            entry.name,
            _when(entry),
            entry.missed,
            "paused" if entry.paused else following,
            shown(entry.last, entry.timezone) if entry.last else "",
            entry.last_outcome,
            entry.by,
        )
    console.print(table)


def _when(entry: Any) -> str:
    if entry.cron:
        return f"{entry.cron} ({entry.timezone or 'UTC'})"
    return f"{entry.robots} robots with {entry.new_episodes} new episodes each"


COMMAND = Command(
    "schedule", "start rounds by the clock, or when robots have recorded enough", main, 32
)
