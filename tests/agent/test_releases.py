"""From a release on the server to ``current`` on a robot, over real gRPC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from torch import Tensor

from agent.fleet import FleetClient
from agent.paths import StateDir
from agent.policy import weights
from agent.policy.merge import merge
from agent.policy.store import ModelStore
from agent.proto import fleet_pb2 as pb
from agent.releases import ERROR, PROMOTED, REFUSED, TRAINABLE, Puller, main, read_manifest
from agent.training.home import Home
from robots.errors import FederationError, ModelError
from server import service
from server.base import Base, import_base
from server.releases import Releases
from server.rounds.rounds import Rounds
from server.service import FleetService, serve
from tests.datasets import make_dataset
from tests.helpers import free_port

CHUNK = 64 * 1024


class CuttingService(FleetService):
    """Ends a fetch after ``cut_after`` chunks, as a lost connection does."""

    cut_after: int | None = None

    def FetchRelease(
        self, request: pb.FetchReleaseRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.Chunk]:
        for sent, chunk in enumerate(super().FetchRelease(request, context)):
            if sent == self.cut_after:
                context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
            yield chunk


@dataclass
class Server:
    address: str
    releases: Releases
    base: Base
    service: CuttingService

    def release(self, tensors: dict[str, Tensor]) -> dict[str, Any]:
        return self.releases.add(
            tensors,
            self.base,
            run=1,
            round_id=1,
            server_round=1,
            participants=[{"robot": "left", "node": "1", "samples": 5}],
            metrics={},
        )


@dataclass
class Robot:
    home: Home
    client: FleetClient
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
        )

    def incoming(self) -> list[Path]:
        return sorted((self.home.state.models / "incoming").glob("*"))


@pytest.fixture(scope="module")
def base(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Base:
    return import_base(str(tiny_policy), tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def server(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(service, "CHUNK_BYTES", CHUNK)
    releases = Releases(tmp_path / "releases")
    answers = CuttingService(Rounds(tmp_path / "rounds", None), releases)  # type: ignore[arg-type]
    address = f"127.0.0.1:{free_port()}"
    grpc_server = serve(answers, address, None)
    yield Server(address, releases, base, answers)
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


def shifted(base: Base, by: float) -> dict[str, Tensor]:
    return {name: tensor + by for name, tensor in base.trainable().items()}


def test_a_release_becomes_the_candidate(server: Server, robot: Robot) -> None:
    tensors = shifted(server.base, 0.001)
    manifest = server.release(tensors)
    before = robot.store.current

    model = robot.puller.pull()

    assert model.digest == manifest["digest"]
    assert model.trainable_digest == manifest["trainable_digest"] == weights.digest(tensors)
    assert before is not None
    assert (model.base_digest, model.parent) == (before.base_digest, before.digest)
    assert robot.store.current == before
    assert robot.incoming() == []
    assert [e["event"] for e in robot.events] == ["release_fetched", "release_pulled"]
    assert robot.events[0]["bytes"] == manifest["files"][TRAINABLE]["bytes"]


def test_a_fetch_that_was_cut_goes_on_where_it_ended(server: Server, robot: Robot) -> None:
    manifest = server.release(shifted(server.base, 0.001))
    size = manifest["files"][TRAINABLE]["bytes"]
    assert size > 3 * CHUNK
    server.service.cut_after = 2

    with pytest.raises(FederationError):
        robot.puller.pull()
    (partial,) = robot.incoming()
    assert partial.stat().st_size == 2 * CHUNK
    server.service.cut_after = None
    model = robot.puller.pull()

    assert model.digest == manifest["digest"]
    fetched = robot.events[0]
    assert (fetched["resumed_at"], fetched["bytes"]) == (2 * CHUNK, size - 2 * CHUNK)


def test_one_flipped_bit_is_refused_and_the_next_attempt_begins_anew(
    server: Server, robot: Robot
) -> None:
    server.release(shifted(server.base, 0.001))
    path = server.releases.file(1, TRAINABLE)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    before = robot.store.list()

    with pytest.raises(ModelError, match=r"release=1: its sha256 is .*, the manifest's"):
        robot.puller.pull()

    assert robot.incoming() == []
    assert robot.store.list() == before
    data[-100] ^= 1
    path.write_bytes(data)
    assert robot.puller.pull().digest == server.releases.manifest(1)["digest"]


def test_a_manifest_that_lies_about_its_tensors_is_refused(server: Server, robot: Robot) -> None:
    server.release(shifted(server.base, 0.001))
    path = server.releases.folder(1) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["trainable_digest"] = "sha256:" + "0" * 64
    path.write_text(json.dumps(manifest))

    with pytest.raises(ModelError, match=r"trainable digest=sha256:.*isn't the manifest's"):
        robot.puller.pull()


def test_a_release_of_another_base_is_not_even_fetched(
    server: Server, robot: Robot, other_policy: Path, tmp_path: Path
) -> None:
    server.base = import_base(str(other_policy), tmp_path / "base")
    server.release(shifted(server.base, 0.0))

    with pytest.raises(ModelError, match="release 1 belongs to another base policy"):
        robot.puller.pull()
    assert robot.events == []


def spoilt(base: Base, seed: int) -> dict[str, Tensor]:
    """Weights that no training would make: their actions are far off."""
    generator = torch.Generator().manual_seed(seed)
    return {k: v + torch.randn(v.shape, generator=generator) for k, v in base.trainable().items()}


def test_a_better_release_is_promoted_and_a_worse_one_refused(
    server: Server, robot: Robot, tmp_path: Path
) -> None:
    before = robot.store.current
    assert before is not None
    merge(before.path, spoilt(server.base, 0), tmp_path / "spoilt")
    start = robot.store.promote(robot.store.add(tmp_path / "spoilt", origin="test").digest)

    server.release(shifted(server.base, 0.001))
    taken = robot.puller.pull()
    assert robot.puller.consider(taken)
    decision = robot.events[-1]
    assert decision["event"] == "release_promoted"
    assert decision["error_candidate"] < decision["error_current"]
    assert (robot.store.current, robot.store.previous) == (taken, start)

    server.release(spoilt(server.base, 1))
    assert not robot.puller.consider(robot.puller.pull())
    decision = robot.events[-1]
    assert decision["event"] == "release_refused"
    assert decision["error_candidate"] > decision["error_current"]
    assert robot.store.current == taken

    # What is current already needs no trial.
    assert robot.puller.consider(taken)
    assert robot.events[-1]["event"] == "release_current"


def test_a_robot_without_held_out_episodes_takes_it_and_says_so(
    server: Server, robot: Robot, tmp_path: Path
) -> None:
    single = make_dataset(tmp_path / "single", episodes=1, frames=8)
    robot.home = Home(
        name="left", state=robot.home.state, dataset_root=single, threads=1, device="cpu"
    )
    server.release(shifted(server.base, 0.001))

    assert robot.puller.consider(robot.puller.pull())

    decision = robot.events[-1]
    assert decision["event"] == "release_promoted"
    assert decision["not_compared"] == "1 episodes are too few to hold one out"


def test_the_link_gets_a_line_an_event_and_a_status(
    server: Server,
    robot: Robot,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.nice", lambda by: by)
    argv = [
        f"--state_dir={robot.home.state.root}",
        f"--server={server.address}",
        f"--dataset-root={robot.home.dataset_root}",
    ]
    assert main(argv) == ERROR
    assert "there is no release yet" in said(capsys)[-1]["reason"]

    server.release(shifted(server.base, 0.0001))
    status = main(argv)
    events = [event["event"] for event in said(capsys)]
    assert events[:2] == ["release_fetched", "release_pulled"]
    assert (status, events[-1]) in [(PROMOTED, "release_promoted"), (REFUSED, "release_refused")]
    assert main([*argv, "--version=9"]) == ERROR
    assert "version=9: there is no such release" in said(capsys)[-1]["reason"]


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line[:1] == "{"]


def test_a_server_that_is_not_there_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    with (
        FleetClient(address) as client,
        pytest.raises(FederationError, match=f"no fleet server answers at {address}"),
    ):
        client.manifest()


@pytest.mark.parametrize("data", [b"no json", b"[]", b'{"format": 1}', b'{"format": 2}'])
def test_a_manifest_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(FederationError):
        read_manifest(data)
