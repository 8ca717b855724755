"""The whole gRPC service of the fleet process: rounds, releases, robots and schedules."""

from __future__ import annotations

from server.registry.releases import Releases
from server.robots.decisions import Decisions
from server.robots.roster import Roster
from server.robots.service import RobotsService
from server.rounds.messages import spec_of
from server.rounds.rounds import Rounds
from server.schedule.book import Book
from server.schedule.service import ScheduleService
from server.service import FleetService


class WholeService(RobotsService, ScheduleService, FleetService):
    """Answers all calls.

    Args:
        rounds, releases: As :class:`server.service.FleetService`.
        roster, decisions: What is known of the robots.
        book: The schedules.
    """

    def __init__(
        self, rounds: Rounds, releases: Releases, roster: Roster, decisions: Decisions, book: Book
    ) -> None:
        FleetService.__init__(self, rounds, releases)
        RobotsService.__init__(self, roster, decisions)
        ScheduleService.__init__(self, book, check=spec_of)
