"""Builds SmolVLA policies with random weights: a tiny one, and one of true size."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.factory import make_pre_post_processors
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

from agent.policy.fit import ACTION_NAMES
from agent.policy.load import VLM
from agent.policy.vlm import write_vlm
from robots.errors import ModelError

Size = Literal["tiny", "full"]

_NOMINAL_STD = 40.0
"""Spread of SO-101 joints in degrees or −100..100 where no data set says better."""


def build_policy(
    out: Path,
    *,
    size: Size,
    cameras: Mapping[str, tuple[int, int]],
    action_names: Sequence[str],
    state_names: Sequence[str] | None = None,
    stats: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> Path:
    """Build a policy folder that LeRobot loads.

    Args:
        out: The folder to make.
        size: ``tiny`` (some 200,000 parameters, brings its own tokenizer) or ``full`` (450 M; its
            tokenizer and VLM configuration come from the hub or its cache).
        cameras: Camera key → (height, width) in pixels.
        action_names: Names of the actions.
        state_names: Names of the state; ``None``: as the actions.
        stats: Statistics for the normaliser; ``None``: mean 0 and a nominal spread.
        seed: Of the weights.

    Raises:
        ModelError: ``out`` exists, or the hub's files are not to be had.
    """
    if out.exists():
        raise ModelError("exists already", field="out", value=out)
    states = state_names or action_names
    features: dict[str, PolicyFeature] = {
        "observation.state": PolicyFeature(FeatureType.STATE, (len(states),))
    }
    for key, (height, width) in cameras.items():
        features[f"observation.images.{key}"] = PolicyFeature(
            FeatureType.VISUAL, (3, height, width)
        )
    outputs = {"action": PolicyFeature(FeatureType.ACTION, (len(action_names),))}
    out.mkdir(parents=True)
    try:
        config = _config(out, size, features, outputs)
        torch.manual_seed(seed)
        with contextlib.redirect_stdout(io.StringIO()):
            policy = SmolVLAPolicy(config)
        policy.save_pretrained(out)
        pre, post = make_pre_post_processors(
            config,
            dataset_stats=dict(stats or _nominal(len(states), len(action_names))),
        )
        pre.save_pretrained(out)
        post.save_pretrained(out)
        (out / ACTION_NAMES).write_text(json.dumps(list(action_names)), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(out, ignore_errors=True)
        raise ModelError(
            f"can't be built: {' '.join(str(error).split())[:200]}",
            field="size",
            value=size,
            remedy="The full size needs the hub or its cache (HF_HUB_CACHE)",
        ) from error
    return out


def _config(
    out: Path,
    size: Size,
    inputs: dict[str, PolicyFeature],
    outputs: dict[str, PolicyFeature],
) -> SmolVLAConfig:
    common: dict[str, Any] = {
        "input_features": inputs,
        "output_features": outputs,
        "load_vlm_weights": False,
        "device": "cpu",
        "push_to_hub": False,
    }
    if size == "full":
        return SmolVLAConfig(**common)
    write_vlm(out / VLM)
    return SmolVLAConfig(
        vlm_model_name=str((out / VLM).resolve()),
        num_vlm_layers=2,
        resize_imgs_with_padding=(64, 64),
        chunk_size=30,
        n_action_steps=30,
        num_steps=5,
        max_state_dim=16,
        max_action_dim=16,
        tokenizer_max_length=24,
        # A hundred steps are a whole training here; the default warms up for a thousand.
        optimizer_lr=1e-3,
        scheduler_warmup_steps=10,
        scheduler_decay_steps=1000,
        **common,
    )


def _nominal(n_state: int, n_action: int) -> dict[str, dict[str, Any]]:
    def feature(n: int) -> dict[str, Any]:
        return {
            "mean": np.zeros(n, np.float32),
            "std": np.full(n, _NOMINAL_STD, np.float32),
            "min": np.full(n, -100, np.float32),
            "max": np.full(n, 100, np.float32),
            "count": np.array([1]),
        }

    return {"observation.state": feature(n_state), "action": feature(n_action)}
