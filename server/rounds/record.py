"""A round as its folder tells of it: what its state is, its events say."""

from __future__ import annotations

from dataclasses import dataclass

from robots.errors import FederationError
from server.events import TERMINAL
from server.rounds.folder import RoundFolder
from server.rounds.spec import RoundSpec

QUEUED, RUNNING, CANCELLED = "queued", "running", "cancelled"


@dataclass(frozen=True)
class RoundRecord:
    """A round and what became of it.

    Args:
        id: Counts from 1 on this server.
        run_id: Flower's; 0 until it is accepted.
        started: When it was asked for, seconds since the epoch.
        status: queued, running, finished, failed or cancelled.
        reason: Why it failed, or who cancelled it.
        spec: What was asked for.
        releases: Versions that it made.
    """

    id: int
    run_id: int
    started: float
    status: str
    reason: str
    spec: RoundSpec
    releases: tuple[int, ...]

    @property
    def over(self) -> bool:
        return self.status in TERMINAL


class RoundBusyError(FederationError):
    """Another round is running, or this one is over."""


class NoRoomError(FederationError):
    """The disk is too full for a round."""


class NoSuchRoundError(FederationError):
    """There is no such round."""


def read_record(folder: RoundFolder) -> RoundRecord:
    """Raises: NoSuchRoundError."""
    events = folder.events.read()
    if not events:
        raise NoSuchRoundError("there is no such round", field="round", value=folder.number)
    end = next((e for e in events if e.kind in TERMINAL), None)
    status = RUNNING if any(e.kind == "started" for e in events) else QUEUED
    return RoundRecord(
        id=folder.number,
        run_id=folder.run.get("run_id", 0),
        started=events[0].time,
        status=end.kind if end else status,
        reason=str(end.data.get("reason", "")) if end else "",
        spec=folder.spec,
        releases=tuple(dict.fromkeys(e.data["version"] for e in events if e.kind == "released")),
    )
