"""What a fleet trains is chosen once, with its base; releases of adapters are plain policies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agent.federation.payload import trained
from agent.federation.payload.spec import TrainsConfig
from agent.policy import weights
from agent.policy.load import load_policy
from robots.errors import ConfigError
from server.base import import_base, open_base
from server.registry.releases import Releases
from tests.disk import Disk

LORA = TrainsConfig(kind="lora", rank=4)


def test_a_state_belongs_to_one_choice(tiny_policy: Path, tmp_path: Path) -> None:
    base = import_base(str(tiny_policy), tmp_path / "base", LORA)

    assert import_base("", tmp_path / "base") == open_base(tmp_path / "base") == base
    assert base.base_digest == trained.base_digest(tiny_policy, LORA)
    assert weights.digest(base.trainable()) == base.trainable_digest
    for other in (TrainsConfig(), TrainsConfig(kind="lora", rank=8)):
        with pytest.raises(ConfigError, match="Give another --state_dir"):
            import_base("", tmp_path / "base", other)


def test_a_power_cut_takes_nothing_of_what_was_imported_for_good(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    import_base(str(tiny_policy), tmp_path / "base")
    assert disk.keeps(tmp_path / "base")


def test_a_release_of_adapters_is_a_plain_policy(tiny_policy: Path, tmp_path: Path) -> None:
    base = import_base(str(tiny_policy), tmp_path / "base", LORA)
    releases = Releases(tmp_path / "releases")
    generator = torch.Generator().manual_seed(0)
    learned = {n: torch.randn(t.shape, generator=generator) for n, t in base.trainable().items()}

    about = {"run": 1, "round_id": 1, "server_round": 1, "participants": [], "metrics": {}}
    manifest = releases.add(learned, base, encoding="int8", **about)  # type: ignore[arg-type]

    # What robots fetch are the adapters, as rounded …
    released = releases.trainable(manifest["version"])
    assert weights.digest(released) == manifest["trainable_digest"]
    # … and what they must come to when they merge them is what the server has.
    folder = releases.folder(manifest["version"]) / "pretrained_model"
    policy = load_policy(str(folder), device="cpu")
    assert policy.digest == manifest["digest"]
    merged = trained.policy_tensors(tiny_policy, released, LORA)
    held = policy.policy.state_dict()
    assert all(torch.equal(held[name], tensor) for name, tensor in merged.items())
