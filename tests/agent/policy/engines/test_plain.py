"""Any policy through LeRobot's own ``predict_action_chunk``: ACT; VQ-BeT and, where its package is
installed, Diffusion, which look back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.policies.vqbet.configuration_vqbet import VQBeTConfig
from lerobot.policies.vqbet.modeling_vqbet import VQBeTPolicy

from agent.policy.engines.plain import PlainEngine
from robots.errors import ModelError

INPUTS = {
    "observation.state": PolicyFeature(FeatureType.STATE, (6,)),
    "observation.images.front": PolicyFeature(FeatureType.VISUAL, (3, 64, 64)),
}
OUTPUTS = {"action": PolicyFeature(FeatureType.ACTION, (6,))}


def observation(seed: int, rows: int = 1) -> dict[str, Any]:
    random = torch.Generator().manual_seed(seed)
    return {
        "observation.state": torch.randn(rows, 6, generator=random),
        "observation.images.front": torch.rand(rows, 3, 64, 64, generator=random),
    }


def _diffusion() -> PreTrainedPolicy:
    pytest.importorskip("diffusers", reason="its import slows the start of every process")
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy

    config = DiffusionConfig(
        input_features=INPUTS,
        output_features=OUTPUTS,
        device="cpu",
        n_obs_steps=2,
        horizon=8,
        n_action_steps=4,
        crop_shape=None,
        pretrained_backbone_weights=None,
        spatial_softmax_num_keypoints=4,
        down_dims=(16, 32),
        diffusion_step_embed_dim=16,
        n_groups=4,
        num_inference_steps=2,
    )
    return DiffusionPolicy(config)


def _vqbet() -> PreTrainedPolicy:
    config = VQBeTConfig(
        input_features=INPUTS,
        output_features=OUTPUTS,
        device="cpu",
        n_obs_steps=2,
        crop_shape=None,
        pretrained_backbone_weights=None,
        use_group_norm=True,
        spatial_softmax_num_keypoints=4,
        vqvae_embedding_dim=16,
        vqvae_enc_hidden_dim=16,
        gpt_input_dim=32,
        gpt_output_dim=32,
        gpt_hidden_dim=32,
        gpt_n_layer=1,
        gpt_n_head=2,
    )
    policy = VQBeTPolicy(config)
    # As after its first stage of training; LeRobot warns otherwise.
    policy.vqbet.action_head.vqvae_model.discretized.fill_(True)
    return policy


@pytest.fixture(scope="module", params=[_vqbet, _diffusion])
def looking_back(request: pytest.FixtureRequest) -> PreTrainedPolicy:
    torch.manual_seed(0)
    return request.param().eval()


def test_act() -> None:
    config = ACTConfig(
        input_features=INPUTS,
        output_features=OUTPUTS,
        device="cpu",
        chunk_size=10,
        n_action_steps=10,
        dim_model=32,
        n_heads=2,
        dim_feedforward=32,
        n_encoder_layers=1,
        n_vae_encoder_layers=1,
        pretrained_backbone_weights=None,
    )
    torch.manual_seed(0)
    policy = ACTPolicy(config).eval()
    engine = PlainEngine(policy)

    chunk = engine.predict(observation(0, rows=2), robots=["a", "b"])

    assert engine.noise_shape(2) is None
    torch.testing.assert_close(chunk, policy.predict_action_chunk(observation(0, rows=2)))


def test_what_it_saw_before_is_lerobots(looking_back: PreTrainedPolicy) -> None:
    engine = PlainEngine(looking_back)
    ours = []
    for seed in range(3):
        torch.manual_seed(seed)
        ours.append(engine.predict(observation(seed), robots=["a"]))

    looking_back.reset()
    for seed in range(3):
        torch.manual_seed(seed)
        first = looking_back.select_action(observation(seed))
        torch.testing.assert_close(ours[seed][:, 0], first)
        # Only the queue of actions is emptied: LeRobot's is asked anew, its past stays.
        looking_back._queues["action"].clear()
    looking_back.reset()


def test_what_is_remembered_counts_as_what_was_asked_about(looking_back: PreTrainedPolicy) -> None:
    told, asked = PlainEngine(looking_back), PlainEngine(looking_back)
    assert told.looks_back == 2
    told.remember(observation(0), robots=["a"])
    asked.predict(observation(0), robots=["a"])
    chunks = []
    for engine in (told, asked):
        torch.manual_seed(9)
        chunks.append(engine.predict(observation(1), robots=["a"]))
    assert torch.equal(*chunks)


def test_robots_that_share_a_policy_keep_their_own_past(looking_back: PreTrainedPolicy) -> None:
    def chunk(engine: PlainEngine, seed: int, robots: list[str]) -> torch.Tensor:
        torch.manual_seed(9)
        return engine.predict(observation(seed, rows=len(robots)), robots=robots)

    shared, alone = PlainEngine(looking_back), PlainEngine(looking_back)
    for engine in (shared, alone):
        chunk(engine, 0, ["a"])
    chunk(shared, 1, ["b"])

    assert torch.equal(chunk(shared, 2, ["a"]), chunk(alone, 2, ["a"]))


def test_what_is_forgotten_is_not_the_past_of_what_comes(looking_back: PreTrainedPolicy) -> None:
    def last(*seeds: int, forget: bool) -> torch.Tensor:
        engine = PlainEngine(looking_back)
        for seed in seeds:
            torch.manual_seed(9)
            chunk = engine.predict(observation(seed), robots=["a"])
            if forget:
                engine.forget("a")
        return chunk

    assert torch.equal(last(0, 1, forget=True), last(1, forget=False))
    assert not torch.equal(last(0, 1, forget=False), last(1, forget=False))


def test_a_policy_without_chunks_is_a_clear_error(looking_back: PreTrainedPolicy) -> None:
    class NoChunks(torch.nn.Module):
        """As LeRobot's policies that act one step at a time."""

        config = type("Config", (), {"n_obs_steps": 1, "type": "gaussian_actor"})

        def predict_action_chunk(self, batch: dict[str, Any]) -> torch.Tensor:
            raise NotImplementedError

    with pytest.raises(ModelError, match=r"gaussian_actor: a policy of this type computes no"):
        PlainEngine(NoChunks()).predict({}, robots=["a"])  # type: ignore[arg-type]
