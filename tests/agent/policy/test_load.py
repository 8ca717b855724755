"""Policies are loaded by LeRobot's own classes; what wouldn't work on a robot is said at once."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.factory import make_pre_post_processors

from agent.policy import weights
from agent.policy.load import LoadedPolicy, load_policy, read_config, read_stats
from agent.policy.predict import predict_chunk
from robots.errors import ModelError
from tests.conftest import SHARED
from tests.datasets import CAMERA, JOINTS, SIZE, TASK


@pytest.fixture
def copy(tiny_policy: Path, tmp_path: Path) -> Path:
    """A policy folder that a test may spoil."""
    return Path(shutil.copytree(tiny_policy, tmp_path / "policy"))


def chunk_of(loaded: LoadedPolicy, **options: Any) -> np.ndarray[Any, Any]:
    state = np.linspace(-10, 10, len(JOINTS), dtype=np.float32)
    image = np.full((SIZE, SIZE, 3), 100, np.uint8)
    return predict_chunk(loaded, state, {CAMERA: image}, TASK, **options)[0]


def test_a_chunk_is_in_the_robots_units_and_timed(loaded: LoadedPolicy) -> None:
    state = np.zeros(len(JOINTS), np.float32)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    chunk, timings = predict_chunk(loaded, state, {CAMERA: image}, TASK)

    assert chunk.shape == (loaded.config.chunk_size, len(JOINTS))
    assert chunk.dtype == np.float32
    # Normalised actions are about 1; the nominal spread is 40.
    assert np.abs(chunk).max() > 5
    assert timings.keys() == {"pre_s", "infer_s", "post_s"}


def test_a_seed_makes_a_chunk_repeatable(loaded: LoadedPolicy) -> None:
    assert np.array_equal(chunk_of(loaded, seed=7), chunk_of(loaded, seed=7))
    assert not np.array_equal(chunk_of(loaded, seed=7), chunk_of(loaded, seed=8))
    assert not np.array_equal(chunk_of(loaded), chunk_of(loaded))


def test_cameras_that_the_policy_does_not_know_are_left_out(loaded: LoadedPolicy) -> None:
    state = np.zeros(len(JOINTS), np.float32)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    alone, _ = predict_chunk(loaded, state, {CAMERA: image}, TASK, seed=0)
    images = {"attic": np.full((7, 9, 3), 255, np.uint8), "top": image}
    renamed = {"observation.images.top": f"observation.images.{CAMERA}"}
    among, _ = predict_chunk(loaded, state, images, TASK, rename_map=renamed, seed=0)

    assert np.array_equal(alone, among)


def test_the_digest_is_that_of_the_weights_file(tiny_policy: Path, loaded: LoadedPolicy) -> None:
    assert loaded.digest == weights.file_digest(tiny_policy / "model.safetensors")


def test_saved_by_lerobot_and_loaded_again_it_has_the_same_digest(
    loaded: LoadedPolicy, copy: Path
) -> None:
    loaded.policy.save_pretrained(copy)

    assert load_policy(str(copy)).digest == loaded.digest


def test_a_policy_with_its_own_tokenizer_loads_wherever_it_is_moved(
    loaded: LoadedPolicy, copy: Path
) -> None:
    moved = copy.rename(copy.with_name("moved"))
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"vlm_model_name": "/nowhere"}))
    again = load_policy(str(moved))

    assert again.config.vlm_model_name == str(moved / "vlm")
    assert np.array_equal(chunk_of(again, seed=3), chunk_of(loaded, seed=3))


def test_fields_of_the_policys_config_can_be_set(tiny_policy: Path) -> None:
    assert read_config(str(tiny_policy), ["num_steps=2"]).num_steps == 2
    with pytest.raises(ModelError, match="configuration can't be used"):
        read_config(str(tiny_policy), ["num_stepps=2"])


def test_statistics_of_a_data_set_take_the_place_of_the_policys(
    tiny_policy: Path, small_dataset: Path
) -> None:
    stats = read_stats(small_dataset)
    loaded = load_policy(str(tiny_policy), dataset_stats=stats)

    mean, std = (np.asarray(stats["action"][k]) for k in ("mean", "std"))
    nominal = chunk_of(load_policy(str(tiny_policy)), seed=0)
    # The state is normalised otherwise too, so the two agree in scale, not in detail.
    assert (
        np.abs(chunk_of(loaded, seed=0) - mean).max() < 2 * np.abs(nominal).max() / 40 * std.max()
    )


def test_a_folder_of_processors_takes_the_place_of_the_policys(
    tiny_policy: Path, small_dataset: Path, tmp_path: Path
) -> None:
    own = load_policy(str(tiny_policy), dataset_stats=read_stats(small_dataset))
    own.preprocess.save_pretrained(tmp_path)
    own.postprocess.save_pretrained(tmp_path)
    loaded = load_policy(str(tiny_policy), processors=tmp_path)

    assert np.allclose(chunk_of(loaded, seed=1), chunk_of(own, seed=1), atol=1e-4)
    assert loaded.digest == own.digest


def test_statistics_that_are_missing_are_an_error_not_silence(
    tiny_policy: Path, small_dataset: Path
) -> None:
    stats = read_stats(small_dataset)
    other_key = {"joints" if k == "observation.state" else k: v for k, v in stats.items()}

    with pytest.raises(ModelError, match=r"no statistics for observation\.state.*--policy\.stats"):
        load_policy(str(tiny_policy), dataset_stats=other_key)


def test_a_device_that_is_not_here_is_refused(tiny_policy: Path) -> None:
    with pytest.raises(ModelError, match="--device=mps: isn't available here"):
        load_policy(str(tiny_policy), device="mps")
    with pytest.raises(ModelError, match="--device=gpu: isn't available here"):
        load_policy(str(tiny_policy), device="gpu")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_that_is_no_policy_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelError, match=f"the folder has no {name}"):
        load_policy(str(copy))


@pytest.mark.parametrize("text", ["{", '{"type": "telepathy"}', '{"no": "type"}'])
def test_a_configuration_that_is_not_understood_is_refused(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text)
    with pytest.raises(ModelError, match="configuration can't be used"):
        read_config(str(copy))


def test_damaged_weights_are_refused(copy: Path) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="weights don't load"):
        load_policy(str(copy))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("config.json", "its configuration can't be used"),
        ("model.safetensors", "its weights don't load"),
        ("vlm/tokenizer.json", "its weights don't load"),
        ("policy_preprocessor.json", "its processors don't load"),
        ("policy_preprocessor_step_5_normalizer_processor.safetensors", "its processors don't"),
        ("policy_postprocessor_step_0_unnormalizer_processor.safetensors", "its processors don't"),
    ],
)
@pytest.mark.parametrize("part", [0.0, 0.5])
def test_a_file_that_was_cut_short_is_named(copy: Path, name: str, what: str, part: float) -> None:
    path = copy / name
    os.truncate(path, int(path.stat().st_size * part))
    with pytest.raises(ModelError) as raised:
        load_policy(str(copy))
    said = str(raised.value)
    assert said.startswith(f"--policy.path={copy}: {what}")
    assert f"{path.name} is cut short or damaged (" in said
    assert said.endswith("Put a whole copy of that file in its place")


@pytest.mark.parametrize("name", ["config.json", "vlm/tokenizer.json", "vlm/config.json"])
def test_a_file_that_holds_something_else_is_refused_as_well(copy: Path, name: str) -> None:
    (copy / name).write_text("null")
    with pytest.raises(ModelError, match=r"configuration can't be used|weights don't load"):
        load_policy(str(copy))


def test_what_the_weights_file_lacks_is_initialised_as_lerobot_does(copy: Path) -> None:
    path, name = copy / "model.safetensors", "model.state_proj.weight"
    weights.save(path, {k: v for k, v in weights.load(path).items() if k != name}, {"format": "pt"})
    torch.manual_seed(0)
    tensor = load_policy(str(copy)).policy.state_dict()[name]

    # Kaiming's bound of a linear layer.
    assert 0 < tensor.abs().max() <= tensor.shape[1] ** -0.5
    assert tensor.unique().numel() > tensor.numel() / 2


def test_a_policy_from_before_processors_is_refused_with_lerobots_converter(copy: Path) -> None:
    for path in copy.glob("policy_*"):
        path.unlink()
    with pytest.raises(ModelError, match="migrate_policy_normalization"):
        load_policy(str(copy))


def test_neither_a_folder_nor_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder nor a policy"):
        read_config(str(tmp_path / "nothing" / "here"))


def test_the_published_policy_is_known_but_its_weights_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = SHARED / "hf_hub"
    if not cache.is_dir():
        pytest.skip(f"the hub's configuration files are absent: {cache}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))

    assert read_config("lerobot/smolvla_base").chunk_size == 50
    with pytest.raises(ModelError, match="weights are neither on disk nor to be had"):
        load_policy("lerobot/smolvla_base")


def test_any_lerobot_policy_that_predicts_chunks_can_be_used(
    small_dataset: Path, tmp_path: Path
) -> None:
    config = ACTConfig(
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (len(JOINTS),)),
            f"observation.images.{CAMERA}": PolicyFeature(FeatureType.VISUAL, (3, SIZE, SIZE)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (len(JOINTS),))},
        chunk_size=8,
        n_action_steps=8,
        dim_model=32,
        n_heads=2,
        dim_feedforward=32,
        n_encoder_layers=1,
        n_vae_encoder_layers=1,
        pretrained_backbone_weights=None,
        device="cpu",
    )
    ACTPolicy(config).save_pretrained(tmp_path)
    for pipeline in make_pre_post_processors(config, dataset_stats=read_stats(small_dataset)):
        pipeline.save_pretrained(tmp_path)

    assert chunk_of(load_policy(str(tmp_path))).shape == (8, len(JOINTS))
