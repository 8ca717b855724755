"""What all contenders are asked: the same weights, pictures, state, task and noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from agent.policy.init import build_policy
from agent.policy.load import WEIGHTS

JOINTS = tuple(
    f"{joint}.pos"
    for joint in (
        "shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper",
    )
)  # fmt: skip
TASK = "pick up the cube and put it into the box"
_PICTURE = {"full": (480, 640), "tiny": (48, 64)}
_GAIN, _OUTLIERS = 32.0, 4
"""A power of two: the policy computes the same numbers but for these channels."""

Batch = dict[str, Any]


def build(folder: Path, *, size: str, cameras: int, outliers: bool) -> Path:
    """A policy folder with random weights.

    Args:
        folder: To be made.
        size: ``full`` or ``tiny``.
        cameras: How many.
        outliers: Make some channels behind each norm 32 times as large, and what reads them 32
            times as small: the same policy for whoever computes exactly, a hard one in 8 bits.
            Trained transformers have such channels.
    """
    build_policy(
        folder,
        size="full" if size == "full" else "tiny",
        cameras={f"camera{i}": _PICTURE[size] for i in range(cameras)},
        action_names=JOINTS,
    )
    if outliers:
        weights = load_file(folder / WEIGHTS)
        _plant(weights)
        save_file(weights, folder / WEIGHTS, {"format": "pt"})
    return folder


def _plant(weights: dict[str, torch.Tensor]) -> None:
    readers = {
        "layer_norm1": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "layer_norm2": ("mlp.fc1",),
        "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
    }
    random = torch.Generator().manual_seed(7)
    for name in sorted(weights):
        layer, _, norm = name.removesuffix(".weight").rpartition(".")
        if norm not in readers or not name.endswith(".weight"):
            continue
        width = len(weights[name])
        chosen = torch.randperm(width, generator=random)[:_OUTLIERS]
        for part in (name, f"{layer}.{norm}.bias"):
            if part in weights:
                weights[part][chosen] *= _GAIN
        for reader in readers[norm]:
            weight = weights[f"{layer}.{reader}.weight"]
            # The expert's own keys and values of the prefix don't read this norm.
            if weight.shape[1] == width:
                weight[:, chosen] /= _GAIN


def observe(config: Any, preprocess: Any) -> Batch:
    """One robot's observation, preprocessed."""
    random = np.random.default_rng(0)
    batch: Batch = {
        "observation.state": torch.from_numpy(
            random.normal(0, 40, (1, len(JOINTS))).astype(np.float32)
        ),
        "task": [TASK],
    }
    for key, feature in config.image_features.items():
        pixels = random.random((1, *feature.shape), np.float32)
        batch[key] = torch.from_numpy(pixels)
    prepared: Batch = preprocess(batch)
    return prepared


def noise(config: Any, seed: int) -> torch.Tensor:
    """The noise of the ``seed``-th chunk."""
    shape = (1, config.chunk_size, config.max_action_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
