"""The part of the fleet service that keeps schedules."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc

from agent.proto import fleet_pb2 as pb
from server.schedule.book import Book
from server.schedule.entry import Entry
from server.status import as_status


class ScheduleService:
    """``SetSchedule``, ``ListSchedules`` and ``RemoveSchedule``.

    Args:
        book: The schedules.
        check: Raises ConfigError for a round that can't be started.
    """

    def __init__(self, book: Book, check: Callable[[pb.StartRoundRequest], object]) -> None:
        self._book = book
        self._check = check

    def SetSchedule(self, request: pb.Schedule, context: grpc.ServicerContext) -> pb.Schedule:
        with as_status(context):
            entry = Entry.asked(request, self._book.get(request.name), time.time())
            # What can't be started is refused now, not at three in the morning.
            self._check(entry.start_request())
            what = "paused" if entry.paused else "set"
            return self._book.set(
                entry, what=what, by=entry.by, when=_when(entry), request=entry.request
            ).message()
        raise AssertionError("as_status aborts the call")

    def ListSchedules(
        self, request: pb.ListSchedulesRequest, context: grpc.ServicerContext
    ) -> pb.ListSchedulesResponse:
        return pb.ListSchedulesResponse(schedules=[e.message() for e in self._book.all()])

    def RemoveSchedule(
        self, request: pb.RemoveScheduleRequest, context: grpc.ServicerContext
    ) -> pb.RemoveScheduleResponse:
        with as_status(context):
            self._book.remove(request.name, by=request.by)
        return pb.RemoveScheduleResponse()


def _when(entry: Entry) -> str:
    if entry.cron:
        return f"{entry.cron} {entry.timezone or 'UTC'}"
    return f"{entry.robots} robots, {entry.new_episodes} new episodes each"
