"""The gRPC service: streams, deadlines and clear status codes."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.proto import fleet_pb2 as pb
from agent.proto.fleet_pb2_grpc import FleetStub
from robots.errors import ConfigError, FederationError
from server.base import Base
from server.events import EventFile
from server.registry.releases import TRAINABLE, Releases
from server.registry.service import CHUNK_BYTES
from server.rounds.messages import request_of
from server.rounds.rounds import Rounds
from server.rounds.spec import RoundSpec
from server.service import FleetService, serve
from tests.helpers import free_port


class Control:
    """Accepts runs, or refuses them."""

    refuse = False

    def start_run(self, bundle: Any, config: dict[str, Any]) -> int:
        if self.refuse:
            raise FederationError("the SuperLink refused the run")
        return 2**63 + 1

    def reachable(self) -> bool:
        return True

    def stop_run(self, run_id: int) -> None:
        assert run_id == 2**63 + 1


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def stub(tmp_path: Path, base: Base, control: Control) -> Iterator[FleetStub]:
    releases = Releases(tmp_path / "releases")
    releases.add(
        {name: tensor + 1 for name, tensor in base.trainable().items()},
        base,
        run=5,
        round_id=2,
        server_round=1,
        participants=[{"robot": "left", "node": "7", "samples": 30}],
        metrics={},
    )
    rounds = Rounds(tmp_path / "rounds", control)  # type: ignore[arg-type]
    address = f"127.0.0.1:{free_port()}"
    server = serve(FleetService(rounds, releases), address, None)
    with pytest.raises(ConfigError, match=f"--port={address}: can't be listened on"):
        serve(FleetService(rounds, releases), address, None)
    with grpc.insecure_channel(address) as channel:
        yield FleetStub(channel)
    server.stop(None).wait()


def code_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value.code(), refused.value.details()


def test_a_round_is_started_watched_and_listed(tmp_path: Path, stub: FleetStub) -> None:
    started = stub.StartRound(request_of(RoundSpec(rounds=2)), timeout=10)
    assert (started.id, started.run_id, started.status) == (1, 2**63 + 1, "running")

    heard: list[pb.RoundEvent] = []
    watcher = threading.Thread(
        target=lambda: heard.extend(stub.WatchRound(pb.WatchRoundRequest(id=1), timeout=20))
    )
    watcher.start()
    events = EventFile(tmp_path / "rounds" / "0001" / "events.jsonl")
    events.emit("released", version=1)
    events.emit("finished", releases=[1])
    watcher.join(10)

    assert [(e.sequence, e.kind) for e in heard] == [
        (1, "started"), (2, "released"), (3, "finished"),
    ]  # fmt: skip
    (listed,) = stub.ListRounds(pb.ListRoundsRequest(), timeout=10).rounds
    assert (listed.status, list(listed.releases)) == ("finished", [1])


def test_rounds_wait_for_one_another_and_are_cancelled(stub: FleetStub) -> None:
    spec = RoundSpec(queue=True, by="nightly", encoding="int8")
    stub.StartRound(request_of(spec), timeout=10)
    second = stub.StartRound(request_of(spec), timeout=10)
    assert (second.status, second.request.by, second.request.encoding) == (
        "queued", "nightly", "int8",
    )  # fmt: skip

    for number in (2, 1):
        cancelled = stub.CancelRound(pb.CancelRoundRequest(id=number, by="ada"), timeout=10)
        assert (cancelled.status, cancelled.reason) == ("cancelled", "by ada")

    again = pb.CancelRoundRequest(id=1, by="ada")
    code, text = code_of(lambda: stub.CancelRound(again, timeout=10))
    assert (code, text) == (
        grpc.StatusCode.FAILED_PRECONDITION, "round 1 is over: cancelled",
    )  # fmt: skip
    unknown = pb.CancelRoundRequest(id=9)
    assert code_of(lambda: stub.CancelRound(unknown, timeout=10))[0] is grpc.StatusCode.NOT_FOUND


def test_every_mistake_has_its_code(stub: FleetStub, control: Control) -> None:
    bad = request_of(RoundSpec())
    bad.train.steps = 0
    code, text = code_of(lambda: stub.StartRound(bad, timeout=10))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text == "--train.steps=0: must be from 1 to 100000"

    control.refuse = True
    code, _ = code_of(lambda: stub.StartRound(request_of(RoundSpec()), timeout=10))
    assert code is grpc.StatusCode.UNAVAILABLE

    control.refuse = False
    stub.StartRound(request_of(RoundSpec()), timeout=10)
    code, text = code_of(lambda: stub.StartRound(request_of(RoundSpec()), timeout=10))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert text.startswith("round 2 is running")

    watch = pb.WatchRoundRequest(id=9)
    assert code_of(lambda: list(stub.WatchRound(watch, timeout=10)))[0] is (
        grpc.StatusCode.NOT_FOUND
    )
    manifest = pb.GetManifestRequest(version=9)
    assert code_of(lambda: stub.GetManifest(manifest, timeout=10)) == (
        grpc.StatusCode.NOT_FOUND,
        "version=9: there is no such release",
    )
    outside = pb.FetchReleaseRequest(version=1, file="../../base/base.json")
    assert code_of(lambda: list(stub.FetchRelease(outside, timeout=10)))[0] is (
        grpc.StatusCode.NOT_FOUND
    )
    beyond = pb.FetchReleaseRequest(version=1, file=TRAINABLE, offset=10**9)
    assert code_of(lambda: list(stub.FetchRelease(beyond, timeout=10)))[0] is (
        grpc.StatusCode.INVALID_ARGUMENT
    )


def test_releases_are_listed_and_fetched_from_any_offset(tmp_path: Path, stub: FleetStub) -> None:
    listed, call = stub.ListReleases.with_call(pb.ListReleasesRequest(), timeout=10)
    assert "GMT" in dict(call.initial_metadata())["date"], "robots compare their clocks with it"
    (release,) = listed.releases
    assert (release.version, list(release.participants), release.samples) == (1, ["left"], 30)

    folder = tmp_path / "releases" / "0001"
    manifest = stub.GetManifest(pb.GetManifestRequest(), timeout=10).json
    assert manifest == (folder / "manifest.json").read_bytes()
    for name in (TRAINABLE, "pretrained_model/model.safetensors"):
        data = (folder / name).read_bytes()
        for offset in (0, 1000, len(data) - 1, len(data)):
            request = pb.FetchReleaseRequest(version=1, file=name, offset=offset)
            chunks = list(stub.FetchRelease(request, timeout=10))
            assert b"".join(c.data for c in chunks) == data[offset:]
            assert all(len(c.data) <= CHUNK_BYTES and c.total == len(data) for c in chunks)


def test_the_newest_rounds_and_releases_are_listed(
    tmp_path: Path, stub: FleetStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("server.rounds.service", "server.registry.service"):
        monkeypatch.setattr(f"{module}.NEWEST", 2)
    for _ in range(4):
        stub.StartRound(request_of(RoundSpec(queue=True)), timeout=10)
    for version in (2, 3):
        shutil.copytree(
            tmp_path / "releases/0001", tmp_path / f"releases/{version:04d}", symlinks=True
        )
        path = tmp_path / f"releases/{version:04d}/manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))

    rounds = stub.ListRounds(pb.ListRoundsRequest(), timeout=10).rounds
    releases = stub.ListReleases(pb.ListReleasesRequest(), timeout=10).releases
    assert [r.id for r in rounds] == [3, 4]
    assert [r.version for r in releases] == [2, 3]

    monkeypatch.setattr("server.fitting.MOST_B", rounds[-1].ByteSize() + 10)
    (newest,) = stub.ListRounds(pb.ListRoundsRequest(), timeout=10).rounds
    assert newest.id == 4
