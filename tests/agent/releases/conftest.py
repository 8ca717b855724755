"""A registry behind real gRPC, and a robot that has the base policy."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from torch import Tensor

from agent.fleet import FleetClient
from agent.paths import StateDir
from agent.policy.store import ModelStore
from agent.proto import fleet_pb2 as pb
from agent.proto.fleet_pb2_grpc import add_FleetServicer_to_server
from agent.releases.pull import Puller
from agent.training.home import Home
from server.base import Base, import_base
from server.registry import service
from server.registry.releases import Releases
from server.registry.service import ReleaseService

CHUNK = 32 * 1024


class CuttingService(ReleaseService):
    """Counts what it sends, and ends a fetch after ``cut_after`` chunks, as a lost connection does.

    Each number in ``cuts`` is for one fetch; then they go through.
    """

    def __init__(self, releases: Releases) -> None:
        super().__init__(releases)
        self.cuts: list[int] = []
        self.sent: dict[tuple[int, str], list[tuple[int, int]]] = {}

    def FetchRelease(
        self, request: pb.FetchReleaseRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.Chunk]:
        cut_after = self.cuts.pop(0) if self.cuts else None
        sent = self.sent.setdefault((request.version, request.file), [])
        for number, chunk in enumerate(super().FetchRelease(request, context)):
            if number == cut_after:
                context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
            sent.append((chunk.offset, len(chunk.data)))
            yield chunk

    def bytes(self, version: int, file: str) -> int:
        """How much of a file was sent, in whatever pieces."""
        return sum(size for _, size in self.sent.get((version, file), []))


@dataclass
class Server:
    address: str
    releases: Releases
    base: Base
    service: CuttingService

    def release(
        self, tensors: dict[str, Tensor], encoding: str = "fp32", normaliser: str = ""
    ) -> dict[str, Any]:
        return self.releases.add(
            tensors,
            self.base,
            run=1,
            round_id=1,
            server_round=1,
            participants=[{"robot": "left", "node": "1", "samples": 5}],
            metrics={},
            encoding=encoding,
            normaliser=normaliser,
        )

    def train(self, encoding: str = "fp32", by: float = 1e-4) -> dict[str, Any]:
        """A release that is a small step from the one before."""
        version = self.releases.latest or 0
        self.releases.add_base(self.base)
        generator = torch.Generator().manual_seed(version)
        start = self.releases.trainable(version)
        tensors = {k: t + by * torch.randn(t.shape, generator=generator) for k, t in start.items()}
        return self.release(tensors, encoding)


@dataclass
class Robot:
    home: Home
    client: FleetClient
    keys: tuple[str, ...] = ()
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def store(self) -> ModelStore:
        return ModelStore(self.home.state.models)

    @property
    def puller(self) -> Puller:
        return Puller(
            self.client,
            self.home,
            lambda kind, **data: self.events.append({"event": kind, **data}),
            keys=self.keys,
            waits_s=(),
        )

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    def incoming(self) -> list[Path]:
        return sorted((self.home.state.models / "incoming").glob("[!.]*"))


@pytest.fixture(scope="package")
def base(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Base:
    return import_base(str(tiny_policy), tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def server(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(service, "CHUNK_BYTES", CHUNK)
    releases = Releases(tmp_path / "releases")
    answers = CuttingService(releases)
    grpc_server = grpc.server(ThreadPoolExecutor(4))
    add_FleetServicer_to_server(answers, grpc_server)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    yield Server(f"127.0.0.1:{port}", releases, base, answers)
    grpc_server.stop(None).wait()


@pytest.fixture
def robot(
    server: Server, tiny_policy: Path, small_dataset: Path, tmp_path: Path
) -> Iterator[Robot]:
    state = StateDir(tmp_path / "robot")
    state.create()
    ModelStore(state.models).ensure_current(str(tiny_policy))
    home = Home(name="left", state=state, dataset_root=small_dataset, threads=1, device="cpu")
    with FleetClient(server.address) as client:
        yield Robot(home, client)
