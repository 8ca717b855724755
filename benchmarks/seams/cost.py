"""What guidance costs: a chunk without, with each of ours, and with LeRobot's, in turn."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.policies.rtc import RTCConfig

from agent.policy.continuation import normalised_plan
from agent.policy.guidance import Guidance
from agent.policy.init import build_policy
from agent.policy.load import LoadedPolicy, load_policy
from tests.datasets import JOINTS, TASK

_DELAY = 4


def costs(size: str, repeats: int, loaded: LoadedPolicy | None = None) -> str:
    """The table's rows for a policy; ``None``: a true-size one with random weights."""
    if loaded is not None:
        return _rows(size, loaded, repeats)
    with tempfile.TemporaryDirectory() as folder:
        path = build_policy(
            Path(folder) / "full", size="full", cameras={"front": (256, 256)}, action_names=JOINTS
        )
        return _rows(size, load_policy(str(path), device="cpu"), repeats)


def _rows(size: str, loaded: LoadedPolicy, repeats: int) -> str:
    config: Any = loaded.config
    policy: Any = loaded.policy
    state = np.zeros(config.input_features["observation.state"].shape, np.float32)
    batch: dict[str, Any] = {"observation.state": torch.from_numpy(state)[None], "task": [TASK]}
    for key, feature in config.image_features.items():
        batch[key] = torch.rand(1, *feature.shape)
    prepared = loaded.preprocess(batch)
    width = config.output_features["action"].shape[0]
    left = config.chunk_size // 2
    plan = normalised_plan(loaded, np.zeros((left, width), np.float32), state)
    noise = torch.randn(1, config.chunk_size, config.max_action_dim)

    def ours(exact: bool | None) -> None:
        guidance = None if exact is None else Guidance([plan], [_DELAY], exact=exact)
        loaded.engine.predict(prepared, robots=[""], noise=noise, guidance=guidance)

    def lerobot(guided: bool) -> None:
        policy.config.rtc_config = RTCConfig() if guided else None
        policy.init_rtc_processor()
        options = {"inference_delay": _DELAY, "prev_chunk_left_over": plan[None]} if guided else {}
        policy.predict_action_chunk(prepared, noise=noise, **options)
        policy.config.rtc_config = policy.model.rtc_processor = None

    ways: dict[str, Callable[[], None]] = {
        "LeRobot, no guidance": lambda: lerobot(False),
        "LeRobot, its RTC": lambda: lerobot(True),
        f"Armada ({loaded.engine.name}), no guidance": lambda: ours(None),
        f"Armada ({loaded.engine.name}), rtc, identity": lambda: ours(False),
        f"Armada ({loaded.engine.name}), rtc, exact": lambda: ours(True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with torch.no_grad():
        for repeat in range(repeats + 1):
            for name, way in ways.items():
                began = time.perf_counter()
                way()
                if repeat:  # the first is a warm-up
                    seconds[name].append(time.perf_counter() - began)
    base = float(np.median(seconds["LeRobot, no guidance"]))
    return "\n".join(
        f"| {size} | {name} | {np.median(s):.3f} | {np.median(s) / base:.2f} |"
        for name, s in seconds.items()
    )
