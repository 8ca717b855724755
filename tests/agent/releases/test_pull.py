"""From a release on the server to the candidate on a robot, over real gRPC."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.fleet import FleetClient, UnreachableError
from agent.paths import StateDir
from agent.policy import weights
from agent.policy.store import WEIGHTS, ModelStore
from agent.releases.__main__ import main
from agent.releases.ledger import Pin, ReleaseLedger
from agent.releases.manifest import TRAINABLE, Manifest
from agent.releases.outcome import FAILED, LATER, PINNED, REFUSED, TAKEN
from agent.training.home import Home
from robots.errors import FederationError, ModelError
from server.base import import_base
from server.registry.releases import DELTA
from tests.agent.releases.conftest import CHUNK, Robot, Server
from tests.helpers import free_port


def test_a_release_becomes_the_candidate(server: Server, robot: Robot) -> None:
    manifest = server.train()
    before = robot.store.current

    model = robot.puller.pull()

    assert model.digest == manifest["digest"]
    assert model.trainable_digest == manifest["trainable_digest"]
    assert before is not None
    assert (model.base_digest, model.parent) == (before.base_digest, before.digest)
    assert robot.store.current == robot.store.base == before
    assert robot.store.pending == model
    assert robot.incoming() == []
    assert [e["event"] for e in robot.events] == [
        "release_key_trusted", "release_fetched", "release_pulled",
    ]  # fmt: skip


def test_a_robot_that_has_the_parent_fetches_what_changed(server: Server, robot: Robot) -> None:
    for version, encoding in enumerate(("int8", "fp32", "bf16"), start=1):
        manifest = server.train(encoding)

        model = robot.puller.pull()

        assert model.digest == manifest["digest"]
        assert server.service.bytes(version, DELTA) == manifest["files"][DELTA]["bytes"]
        assert server.service.bytes(version, TRAINABLE) == 0
    assert server.service.bytes(1, DELTA) < 0.3 * manifest["files"][TRAINABLE]["bytes"]


def test_a_robot_that_was_away_follows_the_chain(server: Server, robot: Robot) -> None:
    for _ in range(3):
        manifest = server.train("int8")

    assert robot.puller.pull().digest == manifest["digest"]

    assert [(e["version"], e["file"]) for e in robot.said("release_fetched")] == [
        (1, DELTA), (2, DELTA), (3, DELTA),
    ]  # fmt: skip


def test_a_chain_that_costs_more_than_the_whole_is_not_followed(
    server: Server, robot: Robot
) -> None:
    for _ in range(5):
        manifest = server.train("int8")

    assert robot.puller.pull().digest == manifest["digest"]

    assert [(e["version"], e["file"]) for e in robot.said("release_fetched")] == [(5, TRAINABLE)]
    assert server.service.bytes(5, TRAINABLE) == manifest["files"][TRAINABLE]["bytes"]


def test_what_the_robot_holds_may_be_damaged(server: Server, robot: Robot) -> None:
    manifest = server.train("int8")
    held = robot.store.current
    assert held is not None
    tensors = weights.load(held.path / WEIGHTS)
    name = next(iter(server.base.trainable()))
    tensors[name] = tensors[name] + 1
    weights.save(held.path / WEIGHTS, tensors, {"format": "pt"})

    model = robot.puller.pull()

    assert model.trainable_digest == manifest["trainable_digest"]
    assert [e["event"] for e in robot.events][1:] == [
        "release_fetched", "release_delta_unfit", "release_fetched", "release_pulled",
    ]  # fmt: skip


def test_a_change_that_the_server_no_longer_keeps_is_no_dead_end(
    server: Server, robot: Robot
) -> None:
    for _ in range(2):
        manifest = server.train("int8")
    (server.releases.folder(1) / DELTA).unlink()

    assert robot.puller.pull().digest == manifest["digest"]

    (unfit,) = robot.said("release_delta_unfit")
    assert "no longer kept" in unfit["reason"]
    assert robot.incoming() == []
    assert server.service.bytes(2, TRAINABLE) == manifest["files"][TRAINABLE]["bytes"]


def test_a_fetch_that_is_cut_goes_on_and_no_byte_comes_twice(server: Server, robot: Robot) -> None:
    manifest = server.train()
    size = manifest["files"][DELTA]["bytes"]
    assert size > 5 * CHUNK
    server.service.cuts = [2, 1]

    model = robot.puller.pull()

    assert model.digest == manifest["digest"]
    (fetched,) = robot.said("release_fetched")
    assert (fetched["cuts"], fetched["bytes"]) == ([2 * CHUNK, 3 * CHUNK], size)
    assert [e["bytes"] for e in robot.said("release_fetch_cut")] == [2 * CHUNK, 3 * CHUNK]
    assert server.service.bytes(1, DELTA) == size


def test_what_came_is_there_for_the_next_process(server: Server, robot: Robot) -> None:
    manifest = server.train()
    size = manifest["files"][DELTA]["bytes"]
    server.service.cuts = [2, 0]

    with pytest.raises(UnreachableError):
        robot.puller.pull()
    (partial,) = robot.incoming()
    assert partial.stat().st_size == 2 * CHUNK
    robot.puller.pull()

    (fetched,) = robot.said("release_fetched")
    assert (fetched["resumed_at"], fetched["bytes"]) == (2 * CHUNK, size - 2 * CHUNK)
    assert server.service.bytes(1, DELTA) == size


def test_one_flipped_bit_in_a_file_is_refused_and_the_next_attempt_begins_anew(
    server: Server, robot: Robot
) -> None:
    server.train()
    paths = [server.releases.file(1, file) for file in (DELTA, TRAINABLE)]
    for path in paths:
        flip(path)
    before = robot.store.list()

    with pytest.raises(ModelError, match=r"release=1: its sha256 is .*, the manifest's"):
        robot.puller.pull()

    assert robot.incoming() == []
    assert robot.store.list() == before
    (unfit,) = robot.said("release_delta_unfit")
    assert "its sha256 is" in unfit["reason"]
    # One of both is enough.
    flip(paths[1])
    assert robot.puller.pull().digest == server.releases.manifest(1)["digest"]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def test_a_manifest_that_lies_about_its_tensors_is_refused(server: Server, robot: Robot) -> None:
    server.train()
    manifest = server.releases.manifest(1)
    manifest["trainable_digest"] = "sha256:" + "0" * 64
    resign(server, manifest)

    with pytest.raises(ModelError, match=r"trainable digest=sha256:.*isn't the manifest's"):
        robot.puller.pull()


def resign(server: Server, manifest: dict[str, Any]) -> None:
    data = json.dumps(manifest).encode()
    folder = server.releases.folder(1)
    (folder / "manifest.json").write_bytes(data)
    (folder / "manifest.sig").write_bytes(server.releases.signer.sign(data).line())


def test_a_release_of_another_base_is_not_even_fetched(
    server: Server, robot: Robot, other_policy: Path, tmp_path: Path
) -> None:
    server.base = import_base(str(other_policy), tmp_path / "base")
    server.train()

    with pytest.raises(ModelError, match="release 1 belongs to another base policy"):
        robot.puller.pull()
    assert robot.said("release_fetched") == []

    # The fleet's base puts that right.
    base = robot.puller.pull_base()
    assert base.base_digest == server.base.base_digest
    assert robot.puller.pull().digest == server.releases.manifest(1)["digest"]


def test_a_robot_that_has_nothing_takes_the_base(
    server: Server, robot: Robot, tmp_path: Path
) -> None:
    server.releases.add_base(server.base)
    robot.home = Home(
        name="new", state=StateDir(tmp_path / "new"), dataset_root=tmp_path, threads=1
    )
    with pytest.raises(ModelError, match="no policy yet"):
        robot.puller.pull()
    server.service.cuts = [0, 1]
    with pytest.raises(UnreachableError):
        robot.puller.pull_base()

    model = robot.puller.pull_base()

    assert model == robot.store.base == robot.store.current
    assert model.digest == server.base.digest
    files = server.releases.manifest(0)["files"]
    sent = {name: server.service.bytes(0, name) for name in files if name != TRAINABLE}
    assert sent == {name: files[name]["bytes"] for name in sent}
    assert robot.puller.pull_base() == model
    assert robot.incoming() == []


def test_the_link_gets_a_line_an_event_and_a_status(
    server: Server,
    robot: Robot,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.nice", lambda by: by)
    state = robot.home.state
    argv = [
        f"--state_dir={state.root}",
        f"--server={server.address}",
        f"--dataset-root={robot.home.dataset_root}",
    ]
    assert main(argv) == FAILED
    assert "there is no release yet" in said(capsys)[-1]["reason"]

    server.train()
    status = main(argv)
    events = [event["event"] for event in said(capsys)]
    assert events[:3] == ["release_key_trusted", "release_fetched", "release_pulled"]
    assert (status, events[-1]) in [(TAKEN, "release_promoted"), (REFUSED, "release_refused")]

    assert main([*argv, "--version=9"]) == FAILED
    assert "version=9: there is no such release" in said(capsys)[-1]["reason"]

    stranger = "A" * 43 + "="
    assert main([*argv, f"--release_key={stranger}"]) == FAILED
    (refused,) = said(capsys)
    assert refused["event"] == "release_failed"
    assert "is none of those that this robot trusts" in refused["reason"]

    monkeypatch.setattr("agent.releases.pull.WAITS_S", ())
    assert main([*argv, f"--server=127.0.0.1:{free_port()}"]) == LATER
    assert said(capsys)[-1]["event"] == "release_delayed"

    with monkeypatch.context() as short:
        short.setattr("agent.releases.__main__.consider", _out_of_memory)
        assert main(argv) == LATER
    failed = said(capsys)[-1]
    assert (failed["event"], failed["reason"]) == ("release_failed", "MemoryError: 4 GB")

    current = ModelStore(state.models).current
    assert current is not None
    ReleaseLedger(state.release_ledger).set_pin(Pin(current.digest, 1, "a demonstration"))
    assert main([*argv, "--version=1", "--announced"]) == PINNED
    (ignored,) = said(capsys)
    assert (ignored["event"], ignored["version"]) == ("release_ignored", 1)
    assert "stays on it (a demonstration)" in ignored["reason"]


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line[:1] == "{"]


def _out_of_memory(*args: Any, **kwargs: Any) -> int:
    raise MemoryError("4 GB")


def test_a_server_that_is_not_there_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    with (
        FleetClient(address) as client,
        pytest.raises(UnreachableError, match=f"no fleet server answers at {address}"),
    ):
        client.manifest()


@pytest.mark.parametrize("data", [b"no json", b"[]", b'{"format": 2}', b'{"format": 1}'])
def test_a_manifest_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(FederationError):
        Manifest.parse(data)


@pytest.mark.parametrize("name", ["/etc/passwd", "../signing.key", "a/../../b", ""])
def test_a_manifest_names_no_file_elsewhere(server: Server, name: str) -> None:
    manifest = server.train()
    manifest["files"][name] = manifest["files"][TRAINABLE]

    with pytest.raises(FederationError, match="no path within a release"):
        Manifest.parse(json.dumps(manifest).encode())
