"""A plan in the robot's units guides a real policy through LeRobot's own sampler."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from lerobot.configs import FeatureType, PolicyFeature, RTCAttentionSchedule
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.rtc import RTCConfig
from lerobot.processor import PolicyProcessorPipeline, RelativeActionsProcessorStep
from numpy.typing import NDArray
from torch import Tensor

from agent.policy.continuation import Guiding, check_can_continue, guided, normalised_plan
from agent.policy.guidance import Guidance
from agent.policy.load import LoadedPolicy
from agent.policy.predict import Ask, predict_chunks
from robots.errors import ConfigError, ModelError
from tests.datasets import CAMERA, JOINTS, SIZE, TASK

A = len(JOINTS)
STATE = np.linspace(-20, 20, A).astype(np.float32)
H, D, S = 30, 5, 8


def batch(loaded: LoadedPolicy) -> dict[str, Tensor]:
    image = torch.zeros(1, 3, SIZE, SIZE)
    observation = {
        "observation.state": torch.from_numpy(STATE)[None],
        f"observation.images.{CAMERA}": image,
        "task": [TASK],
    }
    prepared: dict[str, Tensor] = loaded.preprocess(observation)
    return prepared


def noise() -> Tensor:
    return torch.randn(1, H, 16, generator=torch.Generator().manual_seed(0))


def chunk(loaded: LoadedPolicy, guidance: Guidance | None = None) -> Tensor:
    if guidance is None:
        return loaded.engine.predict(batch(loaded), robots=[""], noise=noise())
    return loaded.engine.predict(batch(loaded), robots=[""], noise=noise(), guidance=guidance)


def plan() -> NDArray[np.float32]:
    return np.linspace(STATE, STATE + 30, H - S).astype(np.float32)


def test_a_normalised_plan_is_what_the_policy_would_have_computed(loaded: LoadedPolicy) -> None:
    normalised = normalised_plan(loaded, plan(), STATE)
    back = loaded.postprocess(normalised[None])[0]
    np.testing.assert_allclose(back.numpy(), plan(), atol=1e-4)


def test_relative_actions_are_relative_to_the_new_observation(loaded: LoadedPolicy) -> None:
    relative = RelativeActionsProcessorStep(
        enabled=True, exclude_joints=["gripper"], action_names=list(JOINTS)
    )
    steps = [relative, *loaded.preprocess.steps]
    moved = replace(loaded, preprocess=PolicyProcessorPipeline(steps=steps))
    normalised = normalised_plan(moved, plan(), STATE)
    offset = STATE * (np.array(JOINTS) != "gripper.pos")
    expected = normalised_plan(loaded, plan() - offset, STATE)
    torch.testing.assert_close(normalised, expected)


def test_a_processor_that_knows_no_actions_is_refused(loaded: LoadedPolicy) -> None:
    bare = replace(loaded, preprocess=PolicyProcessorPipeline(steps=[]))
    with pytest.raises(ModelError, match="no statistics"):
        normalised_plan(bare, plan(), STATE)


@pytest.mark.parametrize("exact", [True, False])
def test_a_guided_chunk_begins_as_the_plan_goes_on(loaded: LoadedPolicy, exact: bool) -> None:
    known = normalised_plan(loaded, plan(), STATE)
    found = chunk(loaded, Guidance([known], [D], horizon=S, exact=exact))[0, :D]
    free = chunk(loaded)[0, :D]
    assert (found - known[:D]).abs().mean() < 0.5 * (free - known[:D]).abs().mean()


def test_the_approximation_is_lerobot_s_own_rtc(loaded: LoadedPolicy) -> None:
    """Its whole path, ``predict_action_chunk(inference_delay=…, prev_chunk_left_over=…)``; it pulls
    the padded dimensions to zero, so the plan is padded by hand to compare."""
    known = normalised_plan(loaded, plan(), STATE)
    padded = torch.nn.functional.pad(known, (0, 16 - A))
    found = chunk(loaded, Guidance([padded], [D], horizon=S, exact=False))
    policy, config = loaded.policy, loaded.policy.config
    config.rtc_config = RTCConfig(
        prefix_attention_schedule=RTCAttentionSchedule.EXP, max_guidance_weight=5.0
    )
    policy.init_rtc_processor()
    try:
        theirs = policy.predict_action_chunk(
            batch(loaded),
            noise=noise(),
            inference_delay=D,
            prev_chunk_left_over=known[None],
            execution_horizon=H - S,
        )
    finally:
        config.rtc_config = None
        policy.init_rtc_processor()
        policy.model.rtc_processor = None
    torch.testing.assert_close(found, theirs, atol=1e-5, rtol=1e-5)


def test_guidance_leaves_the_policy_as_it_was(loaded: LoadedPolicy) -> None:
    before = chunk(loaded)
    known = normalised_plan(loaded, plan(), STATE)
    assert not torch.equal(chunk(loaded, Guidance([known], [D], horizon=S)), before)
    assert torch.equal(chunk(loaded), before)
    assert all(p.grad is None for p in loaded.policy.parameters())
    with pytest.raises(RuntimeError), guided(loaded.policy, Guidance([known], [D])):
        raise RuntimeError
    assert torch.equal(chunk(loaded), before)


def test_robots_with_and_without_a_plan_share_a_pass(loaded: LoadedPolicy) -> None:
    image = {CAMERA: np.zeros((SIZE, SIZE, 3), np.uint8)}
    free = Ask(state=STATE, images=image, task=TASK, seed=1)
    bound = replace(free, plan=plan(), frozen=D)
    alone = [predict_chunks(loaded, [ask])[0].chunk for ask in (free, bound)]
    together = [answer.chunk for answer in predict_chunks(loaded, [free, bound])]
    np.testing.assert_allclose(together, alone, atol=1e-3)
    cheaper = predict_chunks(loaded, [bound], guiding=Guiding(exact=False))[0].chunk
    assert not np.allclose(cheaper, together[1], atol=1e-3)
    off = [np.abs(chunk_[:D] - plan()[:D]).mean() for chunk_ in (alone[0], together[1], cheaper)]
    assert max(off[1:]) < 0.5 * off[0]


def test_what_is_no_flow_policy_is_refused_before_it_is_loaded(loaded: LoadedPolicy) -> None:
    check_can_continue(loaded.config)
    act = ACTConfig(
        input_features={"observation.state": PolicyFeature(FeatureType.STATE, (A,))},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (A,))},
    )
    with pytest.raises(ConfigError, match=r"--inference\.merge=rtc: .*type act.* smolvla"):
        check_can_continue(act)
    with pytest.raises(ConfigError, match="adapt_to_pi_aloha"):
        check_can_continue(replace(loaded.config, adapt_to_pi_aloha=True))
