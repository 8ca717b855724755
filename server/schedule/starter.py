"""What schedules start rounds with: the fleet's own rounds."""

from __future__ import annotations

from agent.proto import fleet_pb2 as pb
from server.rounds.messages import spec_of
from server.rounds.rounds import Rounds


class RoundStarter:
    """Starts rounds as an operator's request does.

    Args:
        rounds: All of them.
    """

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds

    def start(self, request: pb.StartRoundRequest) -> int:
        """The number of the round, which runs or waits for its turn.

        Raises:
            ConfigError, FederationError: it is refused.
        """
        return self._rounds.start(spec_of(request)).id

    def unfinished(self) -> list[int]:
        """Numbers of the rounds that run or wait."""
        return [record.id for record in self._rounds.waiting()]
