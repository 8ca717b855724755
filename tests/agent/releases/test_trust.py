"""Whose releases a robot takes, and that it doesn't go back by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.releases.ledger import ReleaseLedger
from agent.releases.signature import Signature, configured_keys, read_keys
from agent.releases.trust import TrustedKeys
from robots.errors import ConfigError, ModelError
from server.registry.signer import Signer
from tests.agent.releases.conftest import Robot, Server

DATA = b'{"version": 1}'


@pytest.fixture
def signer() -> Signer:
    return Signer(Ed25519PrivateKey.generate())


@pytest.fixture
def stranger() -> Signer:
    return Signer(Ed25519PrivateKey.generate())


def test_the_first_key_is_believed_and_kept(
    tmp_path: Path, signer: Signer, stranger: Signer
) -> None:
    keys = TrustedKeys(tmp_path / "keys")

    assert keys.check(DATA, signer.sign(DATA).line())
    assert not keys.check(DATA, signer.sign(DATA).line())
    with pytest.raises(ModelError, match=r"none of those .* armada models trust KEY"):
        keys.check(DATA, stranger.sign(DATA).line())

    # A change of key in peace: robots are told of the new one.
    keys.trust(stranger.public)
    assert not keys.check(DATA, stranger.sign(DATA).line())
    assert keys.keys() == (signer.public, stranger.public)
    assert read_keys((tmp_path / "keys").read_text()) == keys.keys()


def test_configured_keys_alone_count(tmp_path: Path, signer: Signer, stranger: Signer) -> None:
    TrustedKeys(tmp_path / "keys").trust(stranger.public)
    listed = tmp_path / "mine.keys"
    listed.write_text(f"# the fleet's\n\n{signer.public}  # since March\n")

    for value in (signer.public, str(listed)):
        keys = TrustedKeys(tmp_path / "keys", configured_keys(value))
        assert not keys.check(DATA, signer.sign(DATA).line())
        with pytest.raises(ModelError, match=r"--federation\.release_key"):
            keys.check(DATA, stranger.sign(DATA).line())
        with pytest.raises(ConfigError, match="alone count"):
            keys.trust(stranger.public)


@pytest.mark.parametrize("value", ["no/such/file", "AAAA", "é", "A" * 60])
def test_a_key_that_is_none_is_refused_at_once(value: str) -> None:
    with pytest.raises(ConfigError, match="is no Ed25519 public key"):
        configured_keys(value)


def test_every_changed_bit_of_a_manifest_is_seen(signer: Signer) -> None:
    signed = Signature.parse(signer.sign(DATA).line())
    assert signed.covers(DATA)
    for bit in range(8 * len(DATA)):
        changed = bytearray(DATA)
        changed[bit // 8] ^= 1 << bit % 8
        assert not signed.covers(bytes(changed))


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"ed25519 AAAA AAAA", b"rsa a b", b"\xff", b"a b c d"]
)
def test_what_is_no_signature_is_refused(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(ModelError, match="the release's signature"):
        TrustedKeys(tmp_path / "keys").check(DATA, line)
    assert not (tmp_path / "keys").exists()


def test_a_manifest_with_one_bit_changed_is_refused_before_anything_is_fetched(
    server: Server, robot: Robot
) -> None:
    server.train()
    path = server.releases.folder(1) / "manifest.json"
    data = bytearray(path.read_bytes())
    data[data.rindex(b'"samples": 5') + 11] ^= 1
    path.write_bytes(data)
    assert server.releases.manifest(1)["samples"] == 4

    with pytest.raises(ModelError, match="the release's signature: doesn't fit the manifest"):
        robot.puller.pull()

    assert server.service.sent == {}
    assert robot.home.state.release_keys.exists() is False


def test_a_robot_given_another_key_takes_nothing(
    server: Server, robot: Robot, stranger: Signer
) -> None:
    server.train()
    robot.keys = (stranger.public,)
    with pytest.raises(ModelError, match=server.releases.signer.public.replace("+", r"\+")):
        robot.puller.pull()
    robot.keys = (stranger.public, server.releases.signer.public)
    assert robot.puller.pull().digest == server.releases.manifest(1)["digest"]


def test_an_older_release_is_never_the_latest_again(server: Server, robot: Robot) -> None:
    first, second = server.train("int8"), server.train("int8")
    assert robot.puller.pull().digest == second["digest"]

    # A server that was set back, or somebody who plays an old notice.
    (server.releases.folder(2) / "manifest.json").unlink()
    with pytest.raises(ModelError, match=r"release=1: is offered as the latest.*has met release 2"):
        robot.puller.pull()
    with pytest.raises(ModelError, match="has met release 2"):
        robot.puller.pull(1, announced=True)

    # Its owner may go back, and is not led forward again by it.
    assert robot.puller.pull(1).digest == first["digest"]
    assert ReleaseLedger(robot.home.state.release_ledger).newest(server.releases.signer.public) == 2


def test_another_release_of_the_same_number_is_refused(server: Server, robot: Robot) -> None:
    server.train("int8")
    robot.puller.pull()
    folder = server.releases.folder(1)
    (folder / "manifest.json").unlink()
    server.release({k: t + 1e-3 for k, t in server.base.trainable().items()})

    with pytest.raises(ModelError, match="another one than this robot has met under that number"):
        robot.puller.pull()


def test_a_release_that_was_not_asked_for_is_refused(server: Server, robot: Robot) -> None:
    server.train("int8")
    server.train("int8")
    one, two = server.releases.folder(1), server.releases.folder(2)
    for name in ("manifest.json", "manifest.sig"):
        (two / name).write_bytes((one / name).read_bytes())

    with pytest.raises(ModelError, match="isn't the release that was asked for"):
        robot.puller.pull(2)


def test_a_damaged_memory_is_no_licence(server: Server, robot: Robot) -> None:
    server.train("int8")
    robot.puller.pull()
    ledger = robot.home.state.release_ledger
    assert json.loads(ledger.read_text())["newest"]
    ledger.write_text("{")
    with pytest.raises(ModelError, match="the robot's memory of releases"):
        robot.puller.pull()
