"""The registry: releases are whole or absent, chained, and plain LeRobot folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from agent.policy import weights
from agent.policy.load import load_policy
from robots.errors import ConfigError, FederationError, ModelError
from server.base import Base, import_base
from server.releases import MANIFEST, TRAINABLE, Releases


def add(
    releases: Releases, base: Base, tensors: dict[str, Tensor], **change: Any
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "run": 42,
        "round_id": 3,
        "server_round": 1,
        "participants": [
            {"robot": "left", "node": "1", "samples": 30},
            {"robot": "right", "node": "2", "samples": 12},
        ],
        "metrics": {"loss-last": 0.5},
    }
    return releases.add(tensors, base, **{**values, **change})


def trained(base: Base, by: float = 0.01) -> dict[str, Tensor]:
    return {name: tensor + by for name, tensor in base.trainable().items()}


def test_a_release_says_what_it_is(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)
    tensors = trained(base)

    manifest = add(releases, base, tensors)

    assert releases.versions() == [1]
    assert releases.manifest(0) == manifest == json.loads(releases.manifest_bytes(1))
    assert manifest["parent"] is None
    assert manifest["samples"] == 42
    assert manifest["base_digest"] == base.base_digest
    assert manifest["trainable_digest"] == weights.digest(tensors)
    folder = releases.folder(1)
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {
        MANIFEST
    }
    assert set(manifest["files"]) == on_disk
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert (tmp_path / "latest").resolve() == folder.resolve()


def test_versions_are_chained(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)

    add(releases, base, trained(base, 0.01))
    second = add(releases, base, trained(base, 0.02))

    assert (second["version"], second["parent"]) == (2, 1)
    assert (tmp_path / "latest").readlink() == Path("0002")


def test_lerobot_loads_a_release_and_finds_the_average_in_it(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)
    tensors = trained(base)
    manifest = add(releases, base, tensors)

    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    folder = releases.folder(1) / "pretrained_model"
    policy = SmolVLAPolicy.from_pretrained(folder)

    got = weights.trainable(policy)
    assert got.keys() == tensors.keys()
    assert all(torch.equal(got[name], tensors[name]) for name in tensors)
    assert load_policy(str(folder), device="cpu").digest == manifest["digest"]


def test_what_a_killed_server_left_is_no_release_and_in_nobodys_way(
    tmp_path: Path, base: Base
) -> None:
    releases = Releases(tmp_path)
    half = tmp_path / "0001"
    (half / "pretrained_model").mkdir(parents=True)
    (half / TRAINABLE).write_bytes(b"half of it")

    assert releases.versions() == []
    with pytest.raises(FederationError, match="there is no release yet"):
        releases.folder(0)
    assert add(releases, base, trained(base))["version"] == 1


def test_only_files_that_the_manifest_names_can_be_had(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)
    add(releases, base, trained(base))

    for name in ("../../etc/passwd", "manifest.json", "/etc/passwd", ""):
        with pytest.raises(FederationError, match="the release has no such file"):
            releases.file(1, name)
    with pytest.raises(FederationError, match="version=7: there is no such release"):
        releases.file(7, TRAINABLE)


def test_tensors_that_do_not_fit_make_no_release(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)

    with pytest.raises(ModelError, match="no such tensor"):
        add(releases, base, {"foreign": torch.zeros(3)})
    assert releases.versions() == []


def test_a_state_folder_keeps_to_its_base(base: Base, tiny_policy: Path, tmp_path: Path) -> None:
    assert import_base(str(tiny_policy), base.folder) == base
    assert import_base("", base.folder) == base
    with pytest.raises(ConfigError, match="this server's state belongs to"):
        import_base("lerobot/smolvla_base", base.folder)
    with pytest.raises(ConfigError, match="a new server needs a base policy"):
        import_base("", tmp_path / "base")
