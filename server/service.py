"""The gRPC service ``armada.fleet.v1.Fleet``: rounds for operators, releases for robots."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from agent.proto import fleet_pb2 as pb
from agent.proto.fleet_pb2_grpc import add_FleetServicer_to_server
from agent.training.config import TrainConfig
from robots.errors import ConfigError
from server.registry.releases import Releases
from server.registry.service import ReleaseService
from server.rounds.rounds import RoundRecord, Rounds
from server.rounds.spec import RoundSpec
from server.status import as_status

_MAX_STREAMS = 64
"""Streams hold a thread each; further callers wait until their deadline."""


class FleetService(ReleaseService):
    """Answers from the rounds and releases on disk.

    Args:
        rounds: Starts and follows.
        releases: The registry.
    """

    def __init__(self, rounds: Rounds, releases: Releases) -> None:
        super().__init__(releases)
        self._rounds = rounds

    def StartRound(self, request: pb.StartRoundRequest, context: grpc.ServicerContext) -> pb.Round:
        with as_status(context):
            return _round(self._rounds.start(spec_of(request)))

    def WatchRound(
        self, request: pb.WatchRoundRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RoundEvent]:
        with as_status(context):
            for event in self._rounds.follow(
                request.id, after=request.after, alive=context.is_active
            ):
                yield pb.RoundEvent(
                    sequence=event.sequence,
                    time=event.time,
                    kind=event.kind,
                    data_json=json.dumps(event.data),
                )

    def ListRounds(
        self, request: pb.ListRoundsRequest, context: grpc.ServicerContext
    ) -> pb.ListRoundsResponse:
        return pb.ListRoundsResponse(rounds=[_round(r) for r in self._rounds.all()])


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


def spec_of(request: pb.StartRoundRequest) -> RoundSpec:
    """Raises: ConfigError for a value beyond its bounds."""
    train = request.train
    return RoundSpec(
        rounds=request.rounds,
        min_robots=request.min_robots,
        wait_s=request.wait_s,
        timeout_s=request.timeout_s,
        evaluate=request.evaluate,
        train=TrainConfig(
            steps=train.steps,
            batch_size=train.batch_size,
            lr=train.lr,
            seed=train.seed,
            proximal_mu=train.proximal_mu,
        ),
    )


def request_of(spec: RoundSpec) -> pb.StartRoundRequest:
    """The message that asks for ``spec``."""
    values = spec.to_dict()
    return pb.StartRoundRequest(**{**values, "train": pb.TrainConfig(**values["train"])})


def _round(record: RoundRecord) -> pb.Round:
    return pb.Round(
        id=record.id,
        run_id=record.run_id,
        started=record.started,
        status=record.status,
        reason=record.reason,
        request=request_of(record.spec),
        releases=record.releases,
    )
