"""The registry: releases are whole or absent, chained, signed, and plain LeRobot folders."""

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
from agent.releases import delta
from agent.releases.manifest import Manifest
from agent.releases.signature import Signature
from robots.errors import ConfigError, FederationError, ModelError
from server.base import Base, import_base
from server.registry.releases import DELTA, MANIFEST, SIGNATURE, TRAINABLE, Releases


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


def trained(start: dict[str, Tensor], seed: int = 0, by: float = 1e-4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {k: t + by * torch.randn(t.shape, generator=generator) for k, t in start.items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_release_says_what_it_is(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)
    tensors = trained(base.trainable())

    manifest = add(releases, base, tensors)

    assert releases.versions() == [1]
    assert releases.manifest(1) == manifest == json.loads(releases.manifest_bytes(1))
    assert (manifest["parent"], manifest["samples"]) == (0, 42)
    assert manifest["base_digest"] == base.base_digest
    assert manifest["trainable_digest"] == weights.digest(tensors)
    folder = releases.folder(1)
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(manifest["files"]) == on_disk - {MANIFEST, SIGNATURE}
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert (tmp_path / "latest").resolve() == folder.resolve()
    assert Manifest.parse(releases.manifest_bytes(1)).about == manifest


def test_the_servers_key_signs_the_manifests_bytes(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)
    add(releases, base, trained(base.trainable()))

    signed = Signature.parse(releases.signature(1))
    data = releases.manifest_bytes(1)

    assert signed.covers(data)
    assert not signed.covers(data.replace(b'"samples": 42', b'"samples": 43'))
    assert signed.key == releases.signer.public == Releases(tmp_path).signer.public


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    public = releases.signer.public
    key = tmp_path / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o600

    key.chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others"):
        _ = releases.signer
    key.chmod(0o600)
    key.write_text("no key")
    with pytest.raises(ConfigError, match="can't be used"):
        _ = releases.signer
    key.unlink()
    assert releases.signer.public != public


def test_versions_are_chained_to_the_base(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)

    first = add(releases, base, trained(base.trainable()))
    second = add(releases, base, trained(releases.trainable(1), seed=1))

    assert [(m["version"], m["parent"]) for m in (first, second)] == [(1, 0), (2, 1)]
    assert (tmp_path / "latest").readlink() == Path("0002")
    ways = [m["delta"] for m in (first, second)]
    assert [(w["from_version"], w["encoding"]) for w in ways] == [(0, "exact"), (1, "exact")]
    assert [w["from_digest"] for w in ways] == [base.trainable_digest, first["trainable_digest"]]


@pytest.mark.parametrize("encoding", ["fp32", "bf16", "int8"])
def test_a_delta_leads_from_the_parent_to_the_release_bit_for_bit(
    tmp_path: Path, base: Base, encoding: str
) -> None:
    releases = Releases(tmp_path)
    wanted = trained(base.trainable())
    manifest = Manifest.parse(
        json.dumps(add(releases, base, wanted, encoding=encoding)).encode(),
    )
    assert manifest.delta is not None
    assert manifest.delta.encoding == ("exact" if encoding == "fp32" else encoding)

    change = delta.unpack(releases.file(1, DELTA), manifest.delta.unpacked)
    found = delta.apply(releases.trainable(0), change, manifest.delta.encoding)

    assert delta.names(change) == sorted(wanted)
    assert weights.digest(found) == manifest.trainable_digest
    assert equal(found, releases.trainable(1))
    assert equal(found, wanted) is (encoding == "fp32")
    share = manifest.files[DELTA].bytes / manifest.trainable.bytes
    assert share < {"fp32": 0.8, "bf16": 0.55, "int8": 0.3}[encoding]


def test_what_rounding_loses_is_in_the_next_release(tmp_path: Path, base: Base) -> None:
    """Ten rounds of int8 end where ten exact ones do, to the rounding of the last."""
    releases, exact = Releases(tmp_path), base.trainable()
    for seed in range(10):
        step = trained({k: torch.zeros_like(t) for k, t in exact.items()}, seed)
        exact = {k: exact[k] + step[k] for k in exact}
        start = releases.trainable(seed) if seed else base.trainable()
        add(releases, base, {k: start[k] + step[k] for k in exact}, encoding="int8")

    released = releases.trainable(10)

    worst = max(float((released[k] - exact[k]).abs().max()) for k in exact)
    assert worst < 3 * 5e-4 / 127, "half a step of the last rounding, and the errors of fp32"
    kept = [p.parent.name for p in tmp_path.glob("0*/residual.safetensors")]
    assert kept == ["0010"]
    with pytest.raises(FederationError, match="no such file"):
        releases.file(10, "residual.safetensors")


def test_an_exact_round_after_rounded_ones_brings_what_they_lost(
    tmp_path: Path, base: Base
) -> None:
    releases, wanted = Releases(tmp_path), trained(base.trainable())
    add(releases, base, wanted, encoding="int8")
    rounded = releases.trainable(1)
    assert not equal(rounded, wanted)

    add(releases, base, rounded, encoding="fp32")

    found = releases.trainable(2)
    assert all(torch.allclose(found[k], wanted[k], rtol=0, atol=1e-8) for k in wanted)
    assert list(tmp_path.glob("0*/residual.safetensors")) == []


def test_the_base_is_version_0(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)

    manifest = releases.add_base(base)

    assert releases.add_base(base) == manifest
    assert (releases.latest, releases.versions()) == (None, [])
    assert equal(releases.trainable(0), base.trainable())
    whole = releases.file(0, "pretrained_model/model.safetensors")
    assert weights.file_digest(whole) == manifest["digest"] == base.digest
    assert Signature.parse(releases.signature(0)).covers(releases.manifest_bytes(0))
    assert Manifest.parse(releases.manifest_bytes(0)).policy_files.keys() >= {"config.json"}


def test_lerobot_loads_a_release_and_finds_the_average_in_it(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)
    tensors = trained(base.trainable())
    manifest = add(releases, base, tensors)

    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    folder = releases.folder(1) / "pretrained_model"
    policy = SmolVLAPolicy.from_pretrained(folder)

    assert equal(weights.trainable(policy), tensors)
    assert load_policy(str(folder), device="cpu").digest == manifest["digest"]


def test_what_a_killed_server_left_is_no_release_and_in_nobodys_way(
    tmp_path: Path, base: Base
) -> None:
    releases = Releases(tmp_path)
    half = tmp_path / "0001"
    (half / "pretrained_model").mkdir(parents=True)
    (half / TRAINABLE).write_bytes(b"half of it")
    (half / SIGNATURE).write_bytes(b"of nothing")

    assert releases.versions() == []
    with pytest.raises(FederationError, match="there is no such release"):
        releases.folder(1)
    assert add(releases, base, trained(base.trainable()))["version"] == 1


def test_only_files_that_the_manifest_names_can_be_had(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)
    add(releases, base, trained(base.trainable()))

    for name in ("../../etc/passwd", "manifest.json", "/etc/passwd", "../signing.key", ""):
        with pytest.raises(FederationError, match="the release has no such file"):
            releases.file(1, name)
    with pytest.raises(FederationError, match="version=7: there is no such release"):
        releases.file(7, TRAINABLE)


def test_tensors_that_do_not_fit_make_no_release(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)

    with pytest.raises(ModelError, match="is missing"):
        add(releases, base, {"foreign": torch.zeros(3)})
    assert releases.versions() == []


def test_a_state_folder_keeps_to_its_base(base: Base, tiny_policy: Path, tmp_path: Path) -> None:
    assert import_base(str(tiny_policy), base.folder) == base
    assert import_base("", base.folder) == base
    with pytest.raises(ConfigError, match="this server's state belongs to"):
        import_base("lerobot/smolvla_base", base.folder)
    with pytest.raises(ConfigError, match="a new server needs a base policy"):
        import_base("", tmp_path / "base")


def test_of_old_releases_what_they_were_is_kept(tmp_path: Path, base: Base) -> None:
    releases = Releases(tmp_path)
    for seed in range(3):
        add(releases, base, trained(base.trainable(), seed), encoding="int8")

    for _ in range(2):
        releases.prune(2)

    assert releases.versions() == [1, 2, 3]
    assert sorted(p.name for p in releases.folder(1).iterdir()) == [DELTA, MANIFEST, SIGNATURE]
    assert releases.file(1, DELTA).is_file()
    assert not releases.keeps(1, TRAINABLE)
    with pytest.raises(FederationError, match="release 1 is no longer kept whole"):
        releases.file(1, TRAINABLE)
    for version in (0, 2, 3):
        assert releases.keeps(version, TRAINABLE)
    assert add(releases, base, trained(base.trainable(), 4))["version"] == 4


def test_changes_are_kept_as_far_back_as_they_are_less_than_the_whole(
    tmp_path: Path, base: Base
) -> None:
    releases = Releases(tmp_path)
    for seed in range(7):
        add(releases, base, trained(base.trainable(), seed), encoding="int8")

    releases.prune(1)

    sizes = [releases.manifest(v)["files"][DELTA]["bytes"] for v in range(1, 8)]
    whole = releases.manifest(7)["files"][TRAINABLE]["bytes"]
    cheaper = [sum(sizes[v - 1 :]) < whole for v in range(1, 8)]
    assert [releases.keeps(v, DELTA) for v in range(1, 8)] == cheaper
    assert cheaper[0] is False
    assert cheaper[-2] is True
