"""A policy built by our own code is one that plain LeRobot loads, without any hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lerobot.configs import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from transformers import AutoTokenizer

from agent.policy import weights
from agent.policy.load import count_parameters, load_policy
from robots.errors import ModelError
from tests.datasets import JOINTS, make_policy


def test_the_seed_makes_the_weights(tiny_policy: Path, other_policy: Path, tmp_path: Path) -> None:
    again = make_policy(tmp_path / "again")

    digests = [weights.file_digest(p / "model.safetensors") for p in (tiny_policy, again)]
    assert digests[0] == digests[1]
    assert weights.file_digest(other_policy / "model.safetensors") != digests[0]


def test_it_is_tiny_and_part_of_it_is_trained(tiny_policy: Path) -> None:
    total, trained = count_parameters(load_policy(str(tiny_policy)).policy)

    assert 100_000 < total < 300_000
    assert 0 < trained < total


def test_plain_lerobot_loads_it(tiny_policy: Path) -> None:
    path = str(tiny_policy)
    config = PreTrainedConfig.from_pretrained(path)
    config.device = "cpu"
    policy = get_policy_class(config.type).from_pretrained(path, config=config)
    pre, post = make_pre_post_processors(config, pretrained_path=path)

    assert policy.config.type == "smolvla"
    assert len(pre.steps) > len(post.steps) > 0


def test_it_carries_its_own_tokenizer_which_loses_no_word(tiny_policy: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy / "vlm")
    text = "Étale la nappe, put it in the bin"

    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_it_knows_the_names_of_its_actions(tiny_policy: Path) -> None:
    assert json.loads((tiny_policy / "action_names.json").read_text()) == list(JOINTS)


def test_an_existing_folder_is_not_touched(tiny_policy: Path) -> None:
    before = sorted(p.name for p in tiny_policy.iterdir())
    with pytest.raises(ModelError, match="exists already"):
        make_policy(tiny_policy)
    assert sorted(p.name for p in tiny_policy.iterdir()) == before
