"""One schedule: when, what, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format

from agent.proto import fleet_pb2 as pb
from robots.errors import ConfigError
from robots.names import check_name
from server.schedule.clock import next_due

SKIP, RUN = "skip", "run"
_BY_MAX = 128


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A schedule as it is kept.

    Args:
        name: Its name.
        cron, timezone: When, by the clock …
        robots, new_episodes: … or as soon as so many robots have so many new episodes each.
        missed: What becomes of a slot that was missed, or that found a round running: ``skip`` it,
            or ``run`` it once, as soon as possible.
        paused: Whether it starts nothing.
        request: What it starts, as protobuf's JSON.
        by: Who set it last.
        due: The next slot, seconds since the epoch; 0: not by the clock.
        last: When it last started a round, or should have; 0: never.
        outcome: What came of that.
        round: The last round that it started; 0: none.
        counted: Robot → episodes it had then, for what is new since.
    """

    name: str
    cron: str = ""
    timezone: str = ""
    robots: int = 0
    new_episodes: int = 0
    missed: str = SKIP
    paused: bool = False
    request: dict[str, Any] = field(default_factory=dict)
    by: str = ""
    due: float = 0.0
    last: float = 0.0
    outcome: str = ""
    round: int = 0
    counted: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name("schedule", self.name)
        if bool(self.cron) == bool(self.robots):
            raise ConfigError(
                "needs a time, or a number of robots, and not both",
                field="schedule",
                value=self.name,
                remedy='Give --cron="0 3 * * *", or --robots=3 --new_episodes=5',
            )
        if self.cron:
            next_due(self.cron, self.timezone, 0.0)
        elif not 1 <= self.new_episodes <= 1_000_000 or self.robots > 10_000:
            raise ConfigError(
                "must be from 1 to 1000000", field="--new_episodes", value=self.new_episodes
            )
        if self.missed not in (SKIP, RUN):
            raise ConfigError(
                "isn't known", field="--missed", value=self.missed, remedy=f"One of: {SKIP}, {RUN}"
            )

    @classmethod
    def asked(cls, message: pb.Schedule, before: Entry | None, now: float) -> Entry:
        """What an operator asks for; of an earlier one of that name its past is kept.

        Raises:
            ConfigError: a value can't be used.
        """
        entry = cls(
            name=message.name,
            cron=message.cron,
            timezone=message.timezone,
            robots=message.robots,
            new_episodes=message.new_episodes,
            missed=message.missed or SKIP,
            paused=message.paused,
            request=json_format.MessageToDict(message.request, preserving_proto_field_name=True),
            by=message.by[:_BY_MAX],
        )
        if before is not None:
            past = ("last", "outcome", "round", "counted")
            entry = dataclasses.replace(entry, **{name: getattr(before, name) for name in past})
        return entry.waiting(now)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Entry:
        """Raises: TypeError, ConfigError for what can't be one."""
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def waiting(self, now: float) -> Entry:
        """With its next slot after ``now``."""
        due = next_due(self.cron, self.timezone, now) if self.cron and not self.paused else 0.0
        return dataclasses.replace(self, due=due)

    def start_request(self) -> pb.StartRoundRequest:
        """What it asks the fleet for, in its own name, behind a round that runs."""
        request = json_format.ParseDict(
            self.request, pb.StartRoundRequest(), ignore_unknown_fields=True
        )
        request.queue = True
        request.by = f"schedule {self.name}"
        return request

    def message(self) -> pb.Schedule:
        """As the service tells it."""
        return pb.Schedule(
            name=self.name,
            cron=self.cron,
            timezone=self.timezone,
            robots=self.robots,
            new_episodes=self.new_episodes,
            missed=self.missed,
            paused=self.paused,
            request=json_format.ParseDict(
                self.request, pb.StartRoundRequest(), ignore_unknown_fields=True
            ),
            last=self.last,
            next=self.due,
            last_outcome=self.outcome,
            by=self.by,
        )
