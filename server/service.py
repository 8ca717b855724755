"""The gRPC service ``armada.fleet.v1.Fleet``: rounds for operators, releases for robots."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from agent.proto.fleet_pb2_grpc import add_FleetServicer_to_server
from robots.errors import ConfigError
from server.registry.releases import Releases
from server.registry.service import ReleaseService
from server.rounds.rounds import Rounds
from server.rounds.service import RoundService

_MAX_STREAMS = 64
"""Streams hold a thread each; further callers wait until their deadline."""


class FleetService(RoundService, ReleaseService):
    """Answers from the rounds and releases on disk.

    Args:
        rounds: Starts and follows.
        releases: The registry.
    """

    def __init__(self, rounds: Rounds, releases: Releases) -> None:
        RoundService.__init__(self, rounds)
        ReleaseService.__init__(self, releases)


def serve(
    service: FleetService,
    address: str,
    credentials: grpc.ServerCredentials | None,
    access: Sequence[grpc.ServerInterceptor] = (),
) -> grpc.Server:
    """Start answering.

    Args:
        service: What answers.
        address: host:port.
        credentials: TLS; None: plaintext.
        access: Refuses strangers; without it nobody is asked who they are.

    Raises:
        ConfigError: the port is taken.
    """
    server = grpc.server(
        ThreadPoolExecutor(max_workers=_MAX_STREAMS, thread_name_prefix="fleet"),
        interceptors=list(access),
        # Two servers on one port would each get half of the calls.
        options=[
            ("grpc.so_reuseport", 0),
            # Clients of a silent stream (a round that trains) ask every 20 s whether we are there;
            # gRPC's default hangs up on whoever asks more than every 5 minutes.
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ],
    )
    add_FleetServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    try:
        if credentials is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ConfigError(
            "can't be listened on", field="--port", value=address, remedy="Give a free --port"
        ) from error
    server.start()
    return server
