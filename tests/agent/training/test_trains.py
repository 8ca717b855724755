"""Training as a fleet asks for it: adapters instead of the whole part, one normaliser for all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from agent.federation.payload import statistics, trained
from agent.federation.payload.spec import TrainsConfig
from agent.policy import weights
from agent.policy.load import load_policy
from agent.policy.merge import merge
from agent.training.config import TrainConfig
from agent.training.measure import measure
from agent.training.train import TrainResult, train
from robots.errors import ModelError

LORA = TrainsConfig(kind="lora", rank=8, alpha=16.0)


def run(policy: Path, dataset: Path, home: Path, steps: int = 1, **others: Any) -> TrainResult:
    return train(
        policy_path=policy,
        processors=home / "processors",
        dataset_root=dataset,
        config=TrainConfig(batch_size=4, steps=steps, lr=3e-3),
        device="cpu",
        threads=1,
        **others,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def adapters(policy: Path, dataset: Path, home: Path) -> TrainResult:
    return run(policy, dataset, home, steps=20, trains=LORA)


def test_adapters_learn_and_nothing_else_changes(policy: Path, adapters: TrainResult) -> None:
    start = trained.starts(policy, LORA)

    weights.check(adapters.trainable, start)
    assert adapters.loss_last < adapters.loss_first
    assert sum(t.numel() for t in adapters.trainable.values()) < 0.3 * sum(
        t.numel() for t in trained.starts(policy, TrainsConfig()).values()
    )
    assert all(bool(t.any()) for t in adapters.trainable.values())


def test_what_they_learned_is_what_the_merged_policy_does(
    policy: Path, dataset: Path, home: Path, adapters: TrainResult, tmp_path: Path
) -> None:
    tensors = trained.policy_tensors(policy, adapters.trainable, LORA)
    merge(policy, tensors, tmp_path / "merged")
    common: dict[str, Any] = {
        "processors": home / "processors",
        "dataset_root": dataset,
        "device": "cpu",
    }

    merged, _ = measure(policy_path=tmp_path / "merged", **common)
    adapted, _ = measure(policy_path=policy, trains=LORA, received=adapters.trainable, **common)

    assert adapted == adapters.error_after
    assert merged == pytest.approx(adapted, rel=1e-3)


def test_adapters_train_on_from_where_the_fleet_is(
    policy: Path, dataset: Path, home: Path, adapters: TrainResult
) -> None:
    onward = run(policy, dataset, home, trains=LORA, received=adapters.trainable)

    assert onward.error_before == adapters.error_after
    with pytest.raises(ModelError, match="has shape"):
        run(
            policy,
            dataset,
            home,
            trains=TrainsConfig(kind="lora", rank=2),
            received=onward.trainable,
        )


def test_a_pooled_normaliser_is_frozen_in_the_place_of_the_robots_own(
    policy: Path, dataset: Path, tmp_path: Path
) -> None:
    sums = statistics.gather(dataset, [0, 1], {})
    pooled = statistics.pool([sums])
    pooled["action"]["mean"] = [v + 5 for v in pooled["action"]["mean"]]
    text = json.dumps(pooled)

    run(policy, dataset, tmp_path, normaliser=text)
    again = run(policy, dataset, tmp_path, normaliser=text)
    # Whoever asks for none in particular gets the one that there is: so does the policy worker.
    plain = run(policy, dataset, tmp_path)

    assert weights.digest(plain.trainable) == weights.digest(again.trainable)
    processors = tmp_path / "processors"
    held = load_file(next(processors.glob("*_unnormalizer_processor.safetensors")))
    assert torch.allclose(held["action.mean"], torch.tensor(pooled["action"]["mean"]).float())
    load_policy(str(policy), device="cpu", processors=processors)


def test_it_never_takes_the_place_of_another_in_silence(
    policy: Path, dataset: Path, home: Path, adapters: TrainResult, tmp_path: Path
) -> None:
    text = json.dumps(statistics.pool([statistics.gather(dataset, [0, 1], {})]))
    shutil.copytree(home / "processors", tmp_path / "processors")

    with pytest.raises(ModelError, match="another normaliser than the fleet's"):
        run(policy, dataset, tmp_path, normaliser=text)
