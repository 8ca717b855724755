"""The part of the fleet's gRPC service that operators run rounds by."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import grpc

from agent.proto import fleet_pb2 as pb
from agent.proto.fleet_pb2_grpc import FleetServicer
from server.fitting import NEWEST, fitting
from server.rounds.messages import event_message, round_message, spec_of
from server.rounds.rounds import Rounds
from server.status import as_status


class RoundService(FleetServicer):
    """Starts rounds, cancels, follows and lists them.

    Args:
        rounds: All of them.
    """

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds

    def StartRound(self, request: pb.StartRoundRequest, context: grpc.ServicerContext) -> pb.Round:
        with as_status(context):
            return round_message(self._rounds.start(spec_of(request)))

    def CancelRound(
        self, request: pb.CancelRoundRequest, context: grpc.ServicerContext
    ) -> pb.Round:
        with as_status(context):
            return round_message(self._rounds.cancel(request.id, request.by))

    def WatchRound(
        self, request: pb.WatchRoundRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RoundEvent]:
        with as_status(context):
            for event in self._rounds.follow(
                request.id, after=request.after, alive=context.is_active
            ):
                yield event_message(event)

    def ListRounds(
        self, request: pb.ListRoundsRequest, context: grpc.ServicerContext
    ) -> pb.ListRoundsResponse:
        newest = fitting(round_message(r) for r in islice(self._rounds.newest(), NEWEST))
        return pb.ListRoundsResponse(rounds=reversed(newest))
