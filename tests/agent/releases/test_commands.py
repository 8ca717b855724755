"""``armada models`` against a fleet's server, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.commands import models
from agent.policy.compare import compare
from agent.policy.load import load_policy
from agent.policy.merge import merge
from agent.releases.ledger import PinnedError, ReleaseLedger
from agent.releases.probation import Order
from robots.errors import ConfigError, ModelError
from tests.agent.releases.conftest import Robot, Server

Output = pytest.CaptureFixture[str]


@pytest.fixture
def run(robot: Robot, server: Server) -> Any:
    def typed(*words: str, asks: bool = True) -> int:
        flags = [f"--state_dir={robot.home.state.root}"]
        if asks:
            flags.append(f"--server={server.address}")
        return models.main([*words, *flags])

    return typed


def test_the_servers_releases_are_listed_beside_what_is_here(
    run: Any, server: Server, robot: Robot, capsys: Output
) -> None:
    server.train("int8")
    server.train("int8")
    robot.puller.pull(1)

    assert run("list", "--json=true") == 0
    one, two = json.loads(capsys.readouterr().out)
    assert (one["version"], one["here"], one["participants"]) == (1, "candidate", ["left"])
    assert (two["version"], two["here"]) == (2, "")
    assert two["delta_bytes"] < 0.3 * two["bytes"]
    assert run("list") == 0
    assert "int8" in capsys.readouterr().out


def test_a_manifest_is_shown_with_what_its_signature_is_worth(
    run: Any, server: Server, robot: Robot, capsys: Output
) -> None:
    server.train("int8")
    assert run("show", "1") == 0
    assert f"right: {server.releases.signer.public} (the first pull" in capsys.readouterr().out

    robot.puller.pull()
    assert run("show", "1", "--json=true") == 0
    shown = json.loads(capsys.readouterr().out)
    assert "a key that this robot trusts" in shown["signature"]
    assert shown["manifest"]["samples"] == 5

    path = server.releases.folder(1) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"samples": 5', b'"samples": 6'))
    assert run("show", "1") == 1
    assert "WRONG" in capsys.readouterr().out


def test_a_pinned_robot_takes_nothing(run: Any, server: Server, robot: Robot) -> None:
    server.train("int8")
    before = robot.store.current
    assert before is not None

    assert run("pin", "--reason=the fair", asks=False) == 0
    with pytest.raises(PinnedError, match=r"the fair.*armada models unpin"):
        run("pull")
    assert robot.store.current == before

    assert run("unpin", asks=False) == 0
    robot.puller.pull()
    # A model that isn't current is promoted by its pin.
    assert run("pin", "1", asks=False) == 0
    pin = ReleaseLedger(robot.home.state.release_ledger).pin
    current = robot.store.current
    assert pin is not None
    assert current is not None
    assert (pin.version, pin.digest) == (1, current.digest)
    assert run("rollback", asks=False) == 0
    assert robot.store.current == before


def test_a_release_that_is_promoted_by_hand_is_on_probation(
    run: Any, server: Server, robot: Robot
) -> None:
    server.train("int8")
    release, before = robot.puller.pull(), robot.store.current
    assert before is not None

    assert run("promote", "candidate", asks=False) == 0

    order = Order.read(robot.home.state.probation)
    assert order is not None
    assert (order.digest, order.version, order.previous) == (release.digest, 1, before.digest)
    assert robot.store.current == release


def test_a_new_key_is_trusted_before_the_server_has_it(
    run: Any, server: Server, robot: Robot, capsys: Output
) -> None:
    server.train("int8")
    robot.puller.pull()
    old = server.releases.signer.public
    (server.releases.folder(1).parent / "signing.key").unlink()
    new = server.releases.signer.public
    server.train("int8")

    with pytest.raises(ModelError, match="armada models trust KEY"):
        robot.puller.pull()
    assert run("trust", new, "--json=true", asks=False) == 0
    assert json.loads(capsys.readouterr().out) == {"keys": [old, new]}
    assert robot.puller.pull().digest == server.releases.manifest(2)["digest"]


def test_a_release_is_exported_and_the_robots_models_stay(
    run: Any, server: Server, robot: Robot, tmp_path: Path
) -> None:
    manifest = server.train("int8")
    before = robot.store.list()

    assert run("export", str(tmp_path / "out"), "--release=1") == 0

    assert load_policy(str(tmp_path / "out"), device="cpu").digest == manifest["digest"]
    assert robot.store.list() == before
    with pytest.raises(ConfigError, match="exists already"):
        run("export", str(tmp_path / "out"), "--release=1")


def test_a_robot_that_has_nothing_pulls_the_base(
    run: Any, server: Server, robot: Robot, tmp_path: Path, capsys: Output
) -> None:
    server.releases.add_base(server.base)
    flags = [f"--state_dir={tmp_path / 'new'}", f"--server={server.address}"]
    assert models.main(["pull", "--base=true", *flags]) == 0
    capsys.readouterr()
    assert models.main(["show", "--json=true", flags[0]]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["digest"], shown["role"]) == (server.base.digest, "current")


def test_two_models_are_compared(run: Any, server: Server, robot: Robot, capsys: Output) -> None:
    server.train("int8")
    robot.puller.pull()

    assert run("diff", "base", "1", "--json=true", asks=False) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["tensors"] == found["files"] == []
    changed = {g["name"] for g in found["groups"] if g["change"]}
    assert any("lm_expert" in name for name in changed)
    assert not any("vision" in name or ".vlm." in name for name in changed), "frozen"

    assert run("diff", "current", "base", asks=False) == 0
    assert "They are the same." in capsys.readouterr().out


def test_what_is_no_tensor_is_compared_too(robot: Robot, tmp_path: Path) -> None:
    base = robot.store.base
    assert base is not None
    merge(base.path, {}, tmp_path / "changed")
    path = tmp_path / "changed" / "config.json"
    before = json.loads(path.read_text())
    path.write_text(json.dumps(before | {"n_action_steps": 7}))
    (tmp_path / "changed" / "README.md").write_text("mine")

    found = compare(base.path, tmp_path / "changed")

    assert found.files == [
        "README.md is only in the second",
        f"config.json n_action_steps: {before['n_action_steps']} and 7",
    ]
    assert found.differ
