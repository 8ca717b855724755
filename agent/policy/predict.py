"""Asks a loaded policy for chunks of actions: those of one robot, or of several in one pass."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lerobot.configs import FeatureType
from lerobot.policies.utils import prepare_observation_for_inference
from numpy.typing import NDArray

from agent.policy.continuation import Guiding, normalised_plan
from agent.policy.load import LoadedPolicy


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One robot's question.

    Args:
        state: (S,) in the robot's units.
        images: Camera key → uint8 (H, W, 3), RGB.
        task: In words.
        robot: Whose history it is, for policies that look back.
        plan: (L, A) what the arm is going to do anyway, from the tick of the observation on, in the
            robot's units; the chunk is to continue it. ``None``: nothing is planned.
        frozen: So many actions of the plan will have been sent before the chunk is there.
        seed: Of the policy's noise; ``None``: fresh noise. With a seed the same observation gives
            the same chunk, and the process's own random state stays as it is.
    """

    state: NDArray[np.float32]
    images: Mapping[str, NDArray[np.uint8]]
    task: str
    robot: str = ""
    plan: NDArray[np.float32] | None = None
    frozen: int = 0
    seed: int | None = None


@dataclass(frozen=True)
class Answer:
    """One robot's chunk.

    Args:
        chunk: (N, A) float32 in the robot's units, for the tick of the observation and those after.
        timings: Seconds by stage: pre_s, infer_s, post_s; of the whole pass it was part of.
        inside: Seconds by part of infer_s, where the engine knows: vision_s, prefix_s, steps_s.
    """

    chunk: NDArray[np.float32]
    timings: dict[str, float] = field(default_factory=dict)
    inside: dict[str, float] = field(default_factory=dict)


def predict_chunks(
    loaded: LoadedPolicy,
    asks: Sequence[Ask],
    *,
    rename_map: Mapping[str, str] | None = None,
    guiding: Guiding | None = None,
) -> list[Answer]:
    """The chunks of several robots, in as few passes as the shapes of their pictures allow; one by
    one where the engine would let them change each other's.

    Args:
        loaded: The policy.
        asks: What each robot sees.
        rename_map: Robot keys to policy keys.
        guiding: How plans are continued; ``None``: as the paper does.

    Raises:
        ConfigError: a robot has a plan, and the policy can't continue one.
        ModelError: the policy can't be asked so.
    """
    groups: dict[Any, list[int]] = {}
    observations = [_observation(loaded, ask, rename_map) for ask in asks]
    for i, observation in enumerate(observations):
        shape = tuple((key, value.shape) for key, value in sorted(observation.items()))
        together = shape if loaded.engine.independent else i
        groups.setdefault(together, []).append(i)
    answers: dict[int, Answer] = {}
    for members in groups.values():
        found = _pass(
            loaded,
            [asks[i] for i in members],
            [observations[i] for i in members],
            guiding or Guiding(),
        )
        answers |= dict(zip(members, found, strict=True))
    return [answers[i] for i in range(len(asks))]


def remember(
    loaded: LoadedPolicy, ask: Ask, *, rename_map: Mapping[str, str] | None = None
) -> None:
    """What a robot saw before what it will be asked about next; for policies that look back."""
    batch = _batch(loaded, [ask], [_observation(loaded, ask, rename_map)])
    loaded.engine.remember(loaded.preprocess(batch), robots=[ask.robot])


def predict_chunk(
    loaded: LoadedPolicy,
    state: NDArray[np.float32],
    images: Mapping[str, NDArray[np.uint8]],
    task: str,
    *,
    rename_map: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """The chunk of one robot and the seconds it took by stage; see ``Ask`` and ``Answer``."""
    ask = Ask(state=state, images=images, task=task, seed=seed)
    (answer,) = predict_chunks(loaded, [ask], rename_map=rename_map)
    return answer.chunk, answer.timings


def _observation(
    loaded: LoadedPolicy, ask: Ask, rename_map: Mapping[str, str] | None
) -> dict[str, NDArray[Any]]:
    """What the policy knows of an observation, by its own names."""
    observation: dict[str, Any] = {"observation.state": np.asarray(ask.state, np.float32)}
    for key, image in ask.images.items():
        name = f"observation.images.{key}"
        name = (rename_map or {}).get(name, name)
        feature = loaded.config.input_features.get(name)
        if feature is not None and feature.type is FeatureType.VISUAL:
            observation[name] = np.ascontiguousarray(image)
    return observation


def _pass(
    loaded: LoadedPolicy,
    asks: Sequence[Ask],
    observations: Sequence[dict[str, NDArray[Any]]],
    guiding: Guiding,
) -> list[Answer]:
    began = time.perf_counter()
    batch = loaded.preprocess(_batch(loaded, asks, observations))
    plans = [
        None if ask.plan is None else normalised_plan(loaded, ask.plan, ask.state) for ask in asks
    ]
    prepared = time.perf_counter()
    shape = loaded.engine.noise_shape(len(asks))
    with torch.no_grad(), _seeded(asks[0].seed if shape is None else None):
        chunks = loaded.engine.predict(
            batch,
            robots=[ask.robot for ask in asks],
            noise=None if shape is None else _noise(loaded, shape, asks),
            guidance=guiding.towards(plans, [ask.frozen for ask in asks]),
        )
        if loaded.device.startswith("cuda"):
            torch.cuda.synchronize()
    inferred = time.perf_counter()
    actions = loaded.postprocess(chunks).to("cpu", torch.float32).numpy()
    done = time.perf_counter()
    timings = {
        "pre_s": prepared - began,
        "infer_s": inferred - prepared,
        "post_s": done - inferred,
    }
    return [Answer(chunk, dict(timings), dict(loaded.engine.timings)) for chunk in actions]


def _batch(
    loaded: LoadedPolicy, asks: Sequence[Ask], observations: Sequence[dict[str, NDArray[Any]]]
) -> dict[str, Any]:
    rows = [
        prepare_observation_for_inference(
            dict(observation), torch.device(loaded.device), ask.task, loaded.policy.name
        )
        for ask, observation in zip(asks, observations, strict=True)
    ]
    batch: dict[str, Any] = {key: torch.cat([row[key] for row in rows]) for key in observations[0]}
    tasks = [ask.task for ask in asks]
    return batch | {"task": tasks, "robot_type": loaded.policy.name}


def _noise(loaded: LoadedPolicy, shape: tuple[int, int, int], asks: Sequence[Ask]) -> torch.Tensor:
    """What the policy would draw itself, a row for each robot by its own seed."""
    rows = []
    for ask in asks:
        with _seeded(ask.seed):
            rows.append(torch.normal(0.0, 1.0, (1, *shape[1:]), dtype=torch.float32))
    return torch.cat(rows).to(loaded.device)


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
