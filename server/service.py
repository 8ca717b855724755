"""The gRPC service ``armada.fleet.v1.Fleet``: rounds for operators, releases for robots."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any, NoReturn

import grpc

from agent.proto import fleet_pb2 as pb
from agent.proto.fleet_pb2_grpc import FleetServicer, add_FleetServicer_to_server
from agent.training.config import TrainConfig
from robots.errors import ArmadaError, ConfigError, FederationError
from server.releases import Releases
from server.rounds.rounds import NoSuchRoundError, RoundBusyError, RoundRecord, Rounds
from server.rounds.spec import RoundSpec

CHUNK_BYTES = 1 << 20
_MAX_STREAMS = 64
"""Streams hold a thread each; further callers wait until their deadline."""


class FleetService(FleetServicer):
    """Answers from the rounds and releases on disk.

    Args:
        rounds: Starts and follows.
        releases: The registry.
    """

    def __init__(self, rounds: Rounds, releases: Releases) -> None:
        self._rounds = rounds
        self._releases = releases

    def StartRound(self, request: pb.StartRoundRequest, context: grpc.ServicerContext) -> pb.Round:
        with _as_status(context):
            return _round(self._rounds.start(spec_of(request)))

    def WatchRound(
        self, request: pb.WatchRoundRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RoundEvent]:
        with _as_status(context):
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

    def ListReleases(
        self, request: pb.ListReleasesRequest, context: grpc.ServicerContext
    ) -> pb.ListReleasesResponse:
        # `armada doctor` compares clocks: the SuperLink refuses a robot whose clock is ahead.
        context.send_initial_metadata((("date", formatdate(usegmt=True)),))
        manifests = [self._releases.manifest(v) for v in self._releases.versions()]
        return pb.ListReleasesResponse(releases=[_release(m) for m in manifests])

    def GetManifest(
        self, request: pb.GetManifestRequest, context: grpc.ServicerContext
    ) -> pb.Manifest:
        with _as_status(context):
            return pb.Manifest(json=self._releases.manifest_bytes(request.version))

    def FetchRelease(
        self, request: pb.FetchReleaseRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.Chunk]:
        with _as_status(context):
            path = self._releases.file(request.version, request.file)
            total = path.stat().st_size
            if request.offset > total:
                raise ConfigError(
                    f"is beyond the file's {total} bytes", field="offset", value=request.offset
                )
            with path.open("rb") as file:
                offset = request.offset
                file.seek(offset)
                while data := file.read(CHUNK_BYTES):
                    yield pb.Chunk(offset=offset, data=data, total=total)
                    offset += len(data)


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


def _release(manifest: dict[str, Any]) -> pb.Release:
    return pb.Release(
        version=manifest["version"],
        digest=manifest["digest"],
        trainable_digest=manifest["trainable_digest"],
        base_digest=manifest["base_digest"],
        time=manifest["time"],
        round=manifest["round"],
        participants=[p.get("robot", p["node"]) for p in manifest["participants"]],
        samples=manifest["samples"],
    )


@contextlib.contextmanager
def _as_status(context: grpc.ServicerContext) -> Iterator[None]:
    """Turn what Armada raises into gRPC's codes."""
    try:
        yield
    except ArmadaError as error:
        _abort(context, error)


def _abort(context: grpc.ServicerContext, error: ArmadaError) -> NoReturn:
    code = grpc.StatusCode.INTERNAL
    if isinstance(error, ConfigError):
        code = grpc.StatusCode.INVALID_ARGUMENT
    elif isinstance(error, RoundBusyError):
        code = grpc.StatusCode.FAILED_PRECONDITION
    elif isinstance(error, NoSuchRoundError) or error.field in ("version", "file"):
        code = grpc.StatusCode.NOT_FOUND
    elif isinstance(error, FederationError):
        code = grpc.StatusCode.UNAVAILABLE
    context.abort(code, str(error))
    raise AssertionError("abort raises")
