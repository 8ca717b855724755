"""Starts what is due; polled by the fleet service.

A slot that comes while a round runs, and one that passed while the server was down, are *missed*:
skipped, or run once, as their schedule says. Rounds never run side by side: what runs nevertheless
is queued behind the one that runs.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.proto import fleet_pb2 as pb
from robots.errors import ArmadaError
from server.robots.roster import OFFLINE, RobotState
from server.schedule.book import Book
from server.schedule.entry import RUN, Entry

GRACE_S = 60.0
"""A slot that is found so late was missed: nobody was there to see it."""

log = logging.getLogger(__name__)


class Starts(Protocol):
    """What starts rounds; the fleet service's own."""

    def start(self, request: pb.StartRoundRequest) -> int:
        """The number of the round, which runs or waits for its turn.

        Raises:
            ArmadaError: it is refused.
        """

    def unfinished(self) -> Sequence[int]:
        """Numbers of the rounds that run or wait."""


class Clockwork:
    """Looks at the schedules several times a minute.

    Args:
        book: The schedules.
        rounds: Starts what is due.
        robots: How the robots stand.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        book: Book,
        rounds: Starts,
        robots: Callable[[], Sequence[RobotState]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._rounds = rounds
        self._robots = robots
        self._clock = clock

    def poll(self) -> None:
        """Start what is due."""
        now = self._clock()
        for entry in self._book.all():
            if entry.paused:
                continue
            if not entry.cron:
                self._look_at_robots(entry, now)
            elif now >= entry.due:
                self._slot(entry, now)

    def _slot(self, entry: Entry, now: float) -> None:
        late_s = now - entry.due
        # Once for all the slots that passed: the next is the first one that is still to come.
        entry_after = dataclasses.replace(entry.waiting(now), last=now)
        if late_s > GRACE_S and entry.missed != RUN:
            self._skip(entry, entry_after, f"missed: the server was down for {_ago(late_s)}")
        elif not (busy := self._rounds.unfinished()):
            self._start(entry, entry_after)
        elif entry.missed != RUN:
            self._skip(entry, entry_after, f"skipped: round {busy[0]} was running")
        elif entry.round in busy:
            self._skip(entry, entry_after, f"skipped: round {entry.round} is this schedule's own")
        else:
            self._start(entry, entry_after)

    def _look_at_robots(self, entry: Entry, now: float) -> None:
        ready = {
            robot.name: robot.episodes
            for robot in self._robots()
            if robot.state != OFFLINE
            and robot.new_episodes >= entry.new_episodes
            and _recorded_since(robot, entry)
        }
        if len(ready) < entry.robots or self._rounds.unfinished():
            return
        counted = {**entry.counted, **ready}
        self._start(entry, dataclasses.replace(entry, last=now, counted=counted))

    def _start(self, before: Entry, after: Entry) -> None:
        # The slot is spent before the round begins: a server that is killed in between starts none
        # rather than two.
        by = f"schedule {before.name}"
        if not self._book.change(before, after, what="due", by=by):
            return
        try:
            number = self._rounds.start(after.start_request())
        except ArmadaError as error:
            log.warning("%s: %s", by, error)
            outcome = f"not started: {error}"
            self._book.change(
                after, dataclasses.replace(after, outcome=outcome), what=outcome, by=by
            )
            return
        started = dataclasses.replace(after, outcome=f"started round {number}", round=number)
        self._book.change(after, started, what="started", by=by, round=number)

    def _skip(self, before: Entry, after: Entry, outcome: str) -> None:
        log.info("schedule %s: %s", before.name, outcome)
        after = dataclasses.replace(after, outcome=outcome)
        self._book.change(before, after, what=outcome, by=f"schedule {before.name}")


def _recorded_since(robot: RobotState, entry: Entry) -> bool:
    """Whether it has recorded enough since it was last counted: a round that failed doesn't start
    again and again on the same episodes. Fewer than then: it has deleted some, and counts anew."""
    counted = entry.counted.get(robot.name)
    if counted is None or robot.episodes < counted:
        return True
    return robot.episodes - counted >= entry.new_episodes


def _ago(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
