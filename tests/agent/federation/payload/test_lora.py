"""Adapters: half of each drawn alike by all; the other half trained, averaged exactly, merged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from agent.federation.payload import codec, lora, trained
from agent.federation.payload.spec import TrainsConfig
from agent.policy import weights
from agent.policy.load import load_policy
from agent.policy.merge import merge
from agent.policy.store import ModelStore
from robots.errors import ModelError

TRAINS = TrainsConfig(kind="lora", rank=4, alpha=8.0, seed=3)


def learned(start: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {n: 0.1 * torch.randn(t.shape, generator=generator) for n, t in start.items()}


@pytest.fixture(scope="module")
def start(tiny_policy: Path) -> dict[str, Tensor]:
    return trained.starts(tiny_policy, TRAINS)


def test_what_trains_is_the_same_by_name_in_the_policy_and_without_it(
    tiny_policy: Path, start: dict[str, Tensor]
) -> None:
    policy = load_policy(str(tiny_policy), device="cpu").policy
    before = {n: p.detach().clone() for n, p in policy.named_parameters() if p.requires_grad}
    trained.prepare(policy, TRAINS)

    assert weights.digest(weights.trainable(policy)) == weights.digest(start)
    # The linear layers of the part that the policy trains; gains and biases are left alone.
    layers = {name.removesuffix(".lora_B.fleet.weight") for name in start}
    assert {f"{layer}.weight" for layer in layers} == {
        name for name, tensor in before.items() if tensor.ndim == 2
    }


def test_an_adapter_that_learned_nothing_changes_nothing(tiny_policy: Path) -> None:
    plain = load_policy(str(tiny_policy), device="cpu").policy
    other = load_policy(str(tiny_policy), device="cpu").policy
    trained.prepare(other, TRAINS)
    inputs = torch.randn(3, 16)

    assert torch.equal(plain.model.action_in_proj(inputs), other.model.action_in_proj(inputs))


def test_a_is_known_for_good() -> None:
    """Other numbers than these, on whatever host or release, would be another fleet."""
    a = lora.factor_a("model.action_in_proj", TrainsConfig(kind="lora", rank=2), 3)
    assert weights.digest({"a": a}) == (
        "sha256:b35310a5f82bf9f20c9a61a2e6a2b2f12265d6ac52cde35328f2d5adb4f6c963"
    )


def test_a_follows_from_the_seed_and_the_layer_alone() -> None:
    first = lora.factor_a("a", TRAINS, 100)
    torch.manual_seed(0)
    assert torch.equal(lora.factor_a("a", TRAINS, 100), first)
    assert not torch.equal(lora.factor_a("b", TRAINS, 100), first)
    assert not torch.equal(lora.factor_a("a", TrainsConfig(kind="lora", rank=4), 100), first)
    assert float(first.abs().max()) <= 0.1
    assert float(first.std()) == pytest.approx(0.1 / 3**0.5, rel=0.1)


def test_merged_weights_compute_what_the_adapters_do(
    tiny_policy: Path, start: dict[str, Tensor], tmp_path: Path
) -> None:
    update = learned(start, 1)
    policy = load_policy(str(tiny_policy), device="cpu").policy
    trained.prepare(policy, TRAINS)
    weights.apply(policy, update)

    merge(tiny_policy, trained.policy_tensors(tiny_policy, update, TRAINS), tmp_path / "merged")
    merged = load_policy(str(tmp_path / "merged"), device="cpu").policy

    modules = dict(merged.named_modules())
    compared = 0
    for name, layer in policy.named_modules():
        if isinstance(layer, LoraLinear):
            inputs = torch.randn(5, layer.weight.shape[1])
            assert torch.allclose(layer(inputs), modules[name](inputs), atol=1e-5)
            compared += 1
    assert compared == len(start)


def test_the_mean_of_the_factors_is_the_mean_of_the_policies(
    tiny_policy: Path, start: dict[str, Tensor]
) -> None:
    first, second = learned(start, 1), learned(start, 2)
    mean = {name: 0.25 * first[name] + 0.75 * second[name] for name in start}

    policies = [trained.policy_tensors(tiny_policy, t, TRAINS) for t in (first, second, mean)]

    for name in policies[0]:
        expected = 0.25 * policies[0][name] + 0.75 * policies[1][name]
        assert torch.allclose(policies[2][name], expected, atol=1e-6)


def test_an_update_is_as_long_as_what_it_changes_of_the_policy(
    tiny_policy: Path, start: dict[str, Tensor]
) -> None:
    """Adapters start from zeros, whose length says nothing."""
    update = learned(start, 1)
    after = trained.policy_tensors(tiny_policy, update, TRAINS)
    before = weights.load(tiny_policy / "model.safetensors", sorted(after))
    moved = codec.length({name: after[name] - before[name] for name in after})

    relative = codec.length(update) / trained.length(tiny_policy, start, TRAINS)

    assert relative == pytest.approx(moved / codec.length(before), rel=0.1)
    whole = trained.starts(tiny_policy, TrainsConfig())
    assert trained.length(tiny_policy, whole, TrainsConfig()) == codec.length(whole)


def test_learned_nothing_merges_to_the_base_itself(
    tiny_policy: Path, start: dict[str, Tensor]
) -> None:
    base = weights.load(tiny_policy / "model.safetensors")
    for name, tensor in trained.policy_tensors(tiny_policy, start, TRAINS).items():
        assert torch.equal(tensor, base[name])


def test_other_adapters_than_the_fleets_are_not_merged(
    tiny_policy: Path, start: dict[str, Tensor]
) -> None:
    with pytest.raises(ModelError, match="has shape"):
        trained.policy_tensors(tiny_policy, start, TrainsConfig(kind="lora", rank=5))
    with pytest.raises(ModelError, match="is unexpected"):
        trained.policy_tensors(tiny_policy, start | {"vision": torch.zeros(1)}, TRAINS)


def test_a_policy_without_linear_layers_says_so() -> None:
    with pytest.raises(ModelError, match="no linear layers"):
        lora.inject(nn.Sequential(nn.Conv1d(2, 2, 1)), TRAINS)


def test_the_base_of_a_fleet_of_adapters_is_the_whole_policy(
    tiny_policy: Path, other_policy: Path, tmp_path: Path
) -> None:
    """A robot's store tells it from what it knows of a model; no file is read for it."""
    full, adapters = TrainsConfig(), TRAINS
    stored = ModelStore(tmp_path / "models").add(tiny_policy, origin="test")

    assert trained.base_digest(tiny_policy, full) == stored.base_digest
    assert trained.base_digest(tiny_policy, adapters) == adapters.base_digest(
        stored.trainable_digest, stored.base_digest
    )
    assert trained.base_digest(tiny_policy, adapters) != trained.base_digest(other_policy, adapters)
    assert weights.digest(trained.starts(tiny_policy, full)) == stored.trainable_digest
