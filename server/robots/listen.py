"""Hears the robots of a fleet on the broker: their statuses and their decisions."""

from __future__ import annotations

import json
import logging
import time

from agent.link.messages import Event, Status, decode
from robots.errors import ConfigError, LinkError
from robots.names import check_name
from server.robots.decisions import Decisions
from server.robots.roster import Roster

log = logging.getLogger(__name__)


class RobotListener:
    """Takes messages as they come.

    Args:
        fleet: Its name.
        roster, decisions: Where they are kept.
    """

    def __init__(self, fleet: str, roster: Roster, decisions: Decisions) -> None:
        self._fleet = fleet
        self._roster = roster
        self._decisions = decisions

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return tuple(f"armada/{self._fleet}/+/{what}" for what in ("status", "event"))

    def hear(self, topic: str, payload: bytes) -> None:
        """A message; what is none of ours is said once in the log and passed over.

        Raises:
            OSError: a decision can't be written.
        """
        if not payload:
            return  # Somebody cleared a retained message.
        _, _, robot, what = topic.split("/")
        try:
            check_name("robot", robot)
            if what == "status":
                status = _own(decode(Status, payload), robot)
                self._roster.note(status, time.time())
                for entry in status.decisions:
                    event = decode(Event, json.dumps(entry).encode())
                    self._decisions.note(_own(event, robot))
            else:
                self._decisions.note(_own(decode(Event, payload), robot))
        except (LinkError, ConfigError) as error:
            log.warning("%s: %s", topic, error)


def _own[M: (Status, Event)](message: M, robot: str) -> M:
    """Raises: LinkError if it is said in another robot's name."""
    if message.robot != robot:
        raise LinkError("isn't whose topic this is", field="robot", value=message.robot[:60])
    return message
