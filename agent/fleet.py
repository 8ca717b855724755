"""A client of the fleet's gRPC service, for robots (releases) and operators (rounds)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import grpc

from agent.proto import fleet_pb2 as pb
from agent.proto.fleet_pb2_grpc import FleetStub
from robots.errors import FederationError

_CALL_S = 10.0
"""Deadline of a call that only reads a few files on the other side."""

_START_S = 60.0
_STALL_S = 30.0
_KEEPALIVE = [
    # A peer that vanished without a word is noticed within half a minute.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without this one gRPC waits a minute for the ping's answer, whatever the other says.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # A server that was away is found again soon; gRPC would look every two minutes in the end.
    ("grpc.max_reconnect_backoff_ms", 5_000),
]


def open_channel(
    address: str, root_certificates: str | None = None, *, token: str = ""
) -> grpc.Channel:
    """A channel to the fleet's server.

    Args:
        address: host:port.
        root_certificates: CA of the server's certificate; None or empty: plaintext.
        token: A robot's or an operator's; it is shown over TLS only.
    """
    if not root_certificates:
        return grpc.insecure_channel(address, options=_KEEPALIVE)
    credentials = grpc.ssl_channel_credentials(Path(root_certificates).read_bytes())
    if token:
        bearer = grpc.access_token_call_credentials(token)
        credentials = grpc.composite_channel_credentials(credentials, bearer)
    return grpc.secure_channel(address, credentials, options=_KEEPALIVE)


_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    # A connection that was reset in the middle of a stream.
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
}
"""Codes of what may pass: the same call may succeed later."""


class UnreachableError(FederationError):
    """The server doesn't answer, or the connection was cut: the same may succeed later."""


class FleetClient:
    """Calls with deadlines; what fails is a ``FederationError`` that says what and why.

    Args:
        address: host:port.
        root_certificates: CA of the server's certificate; None or empty: plaintext.
        token: A robot's or an operator's; it is shown over TLS only.
    """

    def __init__(
        self, address: str, root_certificates: str | None = None, *, token: str = ""
    ) -> None:
        self._address = address
        self._channel = open_channel(address, root_certificates, token=token)
        self._stub = FleetStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> FleetClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def start_round(self, request: pb.StartRoundRequest) -> pb.Round:
        with self._errors():
            started: pb.Round = self._stub.StartRound(request, timeout=_START_S)
        return started

    def cancel_round(self, number: int, by: str) -> pb.Round:
        with self._errors():
            request = pb.CancelRoundRequest(id=number, by=by)
            cancelled: pb.Round = self._stub.CancelRound(request, timeout=_START_S)
        return cancelled

    def watch_round(self, number: int, after: int = 0) -> Iterator[pb.RoundEvent]:
        """Events to the end of the round; a round lasts as long as it lasts: no deadline."""
        with self._errors():
            yield from self._stub.WatchRound(pb.WatchRoundRequest(id=number, after=after))

    def rounds(self) -> list[pb.Round]:
        """Oldest first."""
        with self._errors():
            return list(self._stub.ListRounds(pb.ListRoundsRequest(), timeout=_CALL_S).rounds)

    def robots(self) -> list[pb.Robot]:
        """By name."""
        with self._errors():
            return list(self._stub.ListRobots(pb.ListRobotsRequest(), timeout=_CALL_S).robots)

    def decisions(self, robot: str = "", version: int = 0) -> list[pb.Decision]:
        """What robots decided of releases, oldest first; of all, where nothing is named."""
        with self._errors():
            request = pb.ListDecisionsRequest(robot=robot, version=version)
            return list(self._stub.ListDecisions(request, timeout=_CALL_S).decisions)

    def set_schedule(self, schedule: pb.Schedule) -> pb.Schedule:
        """Set or change one; as the server has it then."""
        with self._errors():
            kept: pb.Schedule = self._stub.SetSchedule(schedule, timeout=_CALL_S)
        return kept

    def schedules(self) -> list[pb.Schedule]:
        """By name."""
        with self._errors():
            response = self._stub.ListSchedules(pb.ListSchedulesRequest(), timeout=_CALL_S)
            return list(response.schedules)

    def remove_schedule(self, name: str, by: str) -> None:
        with self._errors():
            request = pb.RemoveScheduleRequest(name=name, by=by)
            self._stub.RemoveSchedule(request, timeout=_CALL_S)

    def releases(self) -> list[pb.Release]:
        """Oldest first."""
        with self._errors():
            response = self._stub.ListReleases(pb.ListReleasesRequest(), timeout=_CALL_S)
            return list(response.releases)

    def manifest(self, version: int = 0) -> bytes:
        """The manifest's bytes; version 0 is the latest."""
        return bytes(self.signed_manifest(version).json)

    def base(self) -> bytes:
        """The manifest of what the fleet starts from."""
        return bytes(self.signed_base().json)

    def signed_manifest(self, version: int = 0) -> pb.Manifest:
        """A manifest's bytes and their signature; version 0 is the latest."""
        with self._errors():
            request = pb.GetManifestRequest(version=version)
            manifest: pb.Manifest = self._stub.GetManifest(request, timeout=_CALL_S)
        return manifest

    def signed_base(self) -> pb.Manifest:
        """The same for what the fleet starts from."""
        with self._errors():
            manifest: pb.Manifest = self._stub.GetBase(pb.GetBaseRequest(), timeout=_CALL_S)
        return manifest

    def fetch(self, version: int, file: str, offset: int, size: int) -> Iterator[pb.Chunk]:
        """A file of a release from ``offset`` on.

        Args:
            version: Of the release.
            file: As its manifest names it.
            offset: Where to begin, in bytes.
            size: Of the file; the deadline allows 100 kB/s.
        """
        request = pb.FetchReleaseRequest(version=version, file=file, offset=offset)
        with self._errors():
            yield from self._stub.FetchRelease(
                request, timeout=_STALL_S + (size - offset) / 100_000
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            kind = UnreachableError if error.code() in _PASSING else FederationError
            raise kind(self._explain(error)) from error

    def _explain(self, error: grpc.RpcError) -> str:
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE and "superlink" not in details.lower():
            return f"no fleet server answers at {self._address} ({details.splitlines()[0][:200]})"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"the fleet server at {self._address} did not answer in time"
        return details or str(code)
