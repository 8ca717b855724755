"""Who is welcomed, and what a session may be sent."""

from __future__ import annotations

import pytest
from lerobot.configs import FeatureType, PolicyFeature, PreTrainedConfig
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig

from agent.ipc import FrameLayout, ImageSpec
from robots.errors import ModelError
from server.policy.sessions import Session, Sessions
from tests.datasets import JOINTS, SIZE

CAMERAS = ("left", "right")


def features(config: PreTrainedConfig) -> PreTrainedConfig:
    config.input_features = {
        "observation.state": PolicyFeature(FeatureType.STATE, (len(JOINTS),)),
        **{
            f"observation.images.{key}": PolicyFeature(FeatureType.VISUAL, (3, SIZE, SIZE))
            for key in CAMERAS
        },
    }
    config.output_features = {"action": PolicyFeature(FeatureType.ACTION, (len(JOINTS),))}
    return config


def layout(height: int, width: int) -> FrameLayout:
    return FrameLayout(JOINTS, JOINTS, tuple(ImageSpec(key, height, width) for key in CAMERAS))


def welcome(config: PreTrainedConfig, height: int, width: int) -> Session:
    return Sessions(1).open("arm", layout(height, width), {}, config, 30)


def test_what_an_observation_may_have_in_all_is_bounded_where_the_policy_resizes_nothing() -> None:
    act = features(ACTConfig(device="cpu"))

    fits = welcome(act, 1080, 1920)
    assert [(view.height, view.width) for view in fits.views] == [(1080, 1920)] * 2
    with pytest.raises(ModelError) as caught:
        welcome(act, 4096, 4096)
    assert str(caught.value) == (
        "cameras=33554432: a policy of type act takes pictures as they are, and an observation has "
        "at most 4194304 pixels in all (left 4096×4096, right 4096×4096). "
        "Give the robot's cameras a smaller size"
    )


def test_a_policy_that_resizes_is_sent_what_it_looks_at_of_any_camera() -> None:
    smolvla = features(SmolVLAConfig(device="cpu"))

    seen = welcome(smolvla, 4096, 4096)

    assert [(view.height, view.width) for view in seen.views] == [(512, 512)] * 2


def test_a_session_that_another_model_would_be_sent_too_much_in_is_over() -> None:
    sessions, smolvla = Sessions(1), features(SmolVLAConfig(device="cpu"))
    welcomed = sessions.open("arm", layout(4096, 4096), {}, smolvla, 30)

    assert sessions.misfits(smolvla, 30) == []
    assert sessions.misfits(features(ACTConfig(device="cpu")), 30) == [welcomed]
