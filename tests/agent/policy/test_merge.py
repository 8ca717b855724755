"""Received tensors and the robot's own base make a policy that plain LeRobot loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lerobot.configs import PreTrainedConfig

from agent.policy import weights
from agent.policy.load import LoadedPolicy, load_policy
from agent.policy.merge import copy_policy, merge
from robots.errors import ModelError


def test_the_trained_part_is_the_others_and_the_base_its_own(
    tiny_policy: Path, other_policy: Path, loaded: LoadedPolicy, tmp_path: Path
) -> None:
    received = weights.trainable(load_policy(str(other_policy)).policy)
    out = tmp_path / "merged"
    digest = merge(tiny_policy, received, out)
    merged = load_policy(str(out))

    assert merged.digest == digest
    assert weights.digest(weights.trainable(merged.policy)) == weights.digest(received)
    assert weights.digest(weights.frozen(merged.policy)) == weights.digest(
        weights.frozen(loaded.policy)
    )


def test_merging_a_policys_own_tensors_changes_nothing(
    tiny_policy: Path, loaded: LoadedPolicy, tmp_path: Path
) -> None:
    assert merge(tiny_policy, weights.trainable(loaded.policy), tmp_path / "o") == loaded.digest


def test_tensors_that_do_not_fit_leave_nothing_behind(tiny_policy: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    name = "model.state_proj.bias"
    with pytest.raises(ModelError, match="tensor=alien: the base policy has no such tensor"):
        merge(tiny_policy, {"alien": torch.ones(1)}, out)
    with pytest.raises(ModelError, match=f"tensor={name}: has shape"):
        merge(tiny_policy, {name: torch.ones(1)}, out)
    assert not out.exists()


def test_a_copy_says_where_its_tokenizer_lies_now_or_will_lie(
    tiny_policy: Path, tmp_path: Path
) -> None:
    copy_policy(tiny_policy, tmp_path / "here")
    copy_policy(tiny_policy, tmp_path / ".partial", home=tmp_path / "there")

    for folder, home in (("here", "here"), (".partial", "there")):
        config = PreTrainedConfig.from_pretrained(tmp_path / folder)
        assert config.vlm_model_name == str(tmp_path / home / "vlm")
