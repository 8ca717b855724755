"""Asks a loaded policy for a chunk of actions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from lerobot.configs import FeatureType
from lerobot.policies.utils import prepare_observation_for_inference
from numpy.typing import NDArray

from agent.policy.load import LoadedPolicy


def predict_chunk(
    loaded: LoadedPolicy,
    state: NDArray[np.float32],
    images: Mapping[str, NDArray[np.uint8]],
    task: str,
    *,
    rename_map: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """One chunk.

    Args:
        loaded: The policy.
        state: (S,) in the robot's units.
        images: Camera key → uint8 (H, W, 3), RGB.
        task: In words.
        rename_map: Robot keys to policy keys.
        seed: Of the policy's noise; ``None``: fresh noise. With a seed the same observation gives
            the same chunk, and the process's own random state stays as it is.

    Returns:
        (N, A) float32 in the robot's units, for the tick of the observation and those after; and
        seconds by stage: pre, infer, post.
    """
    began = time.perf_counter()
    observation: dict[str, Any] = {"observation.state": np.asarray(state, np.float32)}
    for key, image in images.items():
        name = f"observation.images.{key}"
        name = (rename_map or {}).get(name, name)
        feature = loaded.config.input_features.get(name)
        if feature is not None and feature.type is FeatureType.VISUAL:
            observation[name] = np.ascontiguousarray(image)
    batch = prepare_observation_for_inference(
        observation, torch.device(loaded.device), task, loaded.policy.name
    )
    batch = loaded.preprocess(batch)
    prepared = time.perf_counter()
    with torch.no_grad(), _seeded(seed):
        chunk = loaded.policy.predict_action_chunk(batch)
        if loaded.device.startswith("cuda"):
            torch.cuda.synchronize()
    inferred = time.perf_counter()
    actions = loaded.postprocess(chunk)
    result = actions.squeeze(0).to("cpu", torch.float32).numpy()
    done = time.perf_counter()
    return result, {
        "pre_s": prepared - began,
        "infer_s": inferred - prepared,
        "post_s": done - inferred,
    }


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
