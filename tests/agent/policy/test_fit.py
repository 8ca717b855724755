"""A policy that doesn't fit the robot is refused before anything is loaded or moves."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from lerobot.configs import PreTrainedConfig

from agent.ipc import FrameLayout, ImageSpec
from agent.policy.load import check_fit, read_config
from robots.errors import ModelError
from tests.datasets import CAMERA, JOINTS, SIZE

KEY = f"observation.images.{CAMERA}"


@pytest.fixture
def config(tiny_policy: Path) -> PreTrainedConfig:
    return read_config(str(tiny_policy))


def with_cameras(layout: FrameLayout, *keys: str) -> FrameLayout:
    return replace(layout, images=tuple(ImageSpec(key, SIZE, SIZE) for key in keys))


def test_the_robot_that_it_was_made_for_fits(config: PreTrainedConfig, layout: FrameLayout) -> None:
    check_fit(config, layout, {})


def test_more_cameras_than_the_policy_wants_are_fine(
    config: PreTrainedConfig, layout: FrameLayout
) -> None:
    check_fit(config, with_cameras(layout, "attic", CAMERA), {})


def test_a_camera_that_the_robot_lacks(config: PreTrainedConfig, layout: FrameLayout) -> None:
    with pytest.raises(ModelError) as refused:
        check_fit(config, with_cameras(layout, "top"), {})

    assert KEY in str(refused.value)
    assert "'observation.images.top'" in str(refused.value)
    assert f"--rename_map='{json.dumps({'observation.images.top': KEY})}'" in str(refused.value)


def test_the_remedy_of_a_missing_camera_works(
    config: PreTrainedConfig, layout: FrameLayout
) -> None:
    check_fit(config, with_cameras(layout, "top"), {"observation.images.top": KEY})


def test_a_policy_may_be_told_to_do_without_a_camera(
    tiny_policy: Path, layout: FrameLayout
) -> None:
    check_fit(read_config(str(tiny_policy), ["empty_cameras=1"]), with_cameras(layout), {})


def test_a_rename_map_that_names_no_camera_of_the_robot(
    config: PreTrainedConfig, layout: FrameLayout
) -> None:
    with pytest.raises(ModelError, match=r"--rename_map=.*the robot has no observation\.images\.x"):
        check_fit(config, layout, {"observation.images.x": KEY})


def test_another_number_of_joints(config: PreTrainedConfig, layout: FrameLayout) -> None:
    with pytest.raises(ModelError, match="the policy's state has 6 numbers, the robot's 5"):
        check_fit(config, replace(layout, state_names=JOINTS[:5]), {})
    with pytest.raises(ModelError, match="the policy's action has 6 numbers, the robot's 7"):
        check_fit(config, replace(layout, action_names=(*JOINTS, "wheel.vel")), {})


@pytest.mark.parametrize(
    "names", [("a", "b", "c", "d", "e", "f"), JOINTS[::-1]], ids=["others", "another order"]
)
def test_other_action_names(
    config: PreTrainedConfig, layout: FrameLayout, names: tuple[str, ...]
) -> None:
    with pytest.raises(ModelError) as refused:
        check_fit(config, replace(layout, action_names=names), {})

    assert str(list(JOINTS)) in str(refused.value)
    assert str(list(names)) in str(refused.value)


def test_a_policy_that_does_not_name_its_actions_is_taken_at_its_word(
    tiny_policy: Path, layout: FrameLayout, tmp_path: Path
) -> None:
    unnamed = shutil.copytree(tiny_policy, tmp_path / "unnamed")
    (unnamed / "action_names.json").unlink()

    check_fit(read_config(str(unnamed)), replace(layout, action_names=JOINTS[::-1]), {})


def test_a_policy_that_looks_at_several_observations(
    config: PreTrainedConfig, layout: FrameLayout
) -> None:
    config.n_obs_steps = 2
    check_fit(config, layout, {})
    with pytest.raises(ModelError, match="looks at 2 observations at once, here it gets at most 1"):
        check_fit(config, layout, {}, most_observations=1)
