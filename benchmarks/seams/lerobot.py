"""LeRobot 0.6.1's two ways, by LeRobot's own code: its RTC engine's queue and policy call, and the
aggregation of its ``RobotClient``. Given what neither measures right: the exact delay, and
observations that carry their tick."""

from __future__ import annotations

import logging
from queue import Queue
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from lerobot.async_inference.configs import get_aggregate_function
from lerobot.async_inference.helpers import TimedAction
from lerobot.async_inference.robot_client import RobotClient
from lerobot.policies.rtc import ActionQueue, RTCConfig
from lerobot.policies.utils import prepare_observation_for_inference
from lerobot.rollout.inference.rtc import _normalize_prev_actions_length
from numpy.typing import NDArray
from torch import Tensor

from agent.policy.load import LoadedPolicy
from benchmarks.seams.recording import Episode


def _batch(loaded: LoadedPolicy, episode: Episode, tick: int) -> Any:
    observation: dict[str, Any] = {"observation.state": episode.state[tick]}
    for name, pictures in episode.pictures.items():
        observation[f"observation.images.{name}"] = pictures[tick]
    prepared = prepare_observation_for_inference(
        observation, torch.device(loaded.device), episode.task, loaded.policy.name
    )
    return loaded.preprocess(prepared)


def _noise(config: Any, seed: int) -> Tensor:
    """The same as ours draws for that seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.normal(0.0, 1.0, (1, config.chunk_size, config.max_action_dim))


class LeRobotRTC:
    """``RTCInferenceEngine`` without its thread.

    Args:
        loaded: The policy.
        config: ``None``: LeRobot's defaults.
    """

    def __init__(self, name: str, loaded: LoadedPolicy, config: RTCConfig | None = None) -> None:
        self.name = name
        self._loaded = loaded
        self._config = config or RTCConfig()
        self.reset()

    def reset(self) -> None:
        self._queue = ActionQueue(self._config)
        self._chunk: tuple[Tensor, Tensor, int, int] | None = None

    def ask(self, tick: int, episode: Episode, delay: int, seed: int) -> None:
        before = self._queue.get_action_index()
        left = self._queue.get_left_over()
        if left is not None:
            left = _normalize_prev_actions_length(left, self._config.execution_horizon)
        policy: Any = self._loaded.policy
        # The other contenders use the same policy without it.
        policy.config.rtc_config = self._config
        policy.init_rtc_processor()
        actions = policy.predict_action_chunk(
            _batch(self._loaded, episode, tick),
            noise=_noise(policy.config, seed),
            inference_delay=delay,
            prev_chunk_left_over=left,
        )
        policy.config.rtc_config = policy.model.rtc_processor = None
        processed = self._loaded.postprocess(actions).squeeze(0)
        self._chunk = actions.squeeze(0).clone(), processed, tick, before

    def arrive(self, now: int) -> None:
        assert self._chunk is not None
        original, processed, asked, before = self._chunk
        self._queue.merge(original, processed, now - asked, before)

    def act(self, tick: int) -> NDArray[np.float32]:
        action = self._queue.get()
        assert action is not None, "the queue is empty: lower --delays or --horizon"
        result: NDArray[np.float32] = action.numpy()
        return result


class LeRobotClient:
    """``RobotClient`` without its connection and its robot.

    Args:
        loaded: The policy.
        function: Of its aggregate functions.
    """

    def __init__(self, name: str, loaded: LoadedPolicy, function: str) -> None:
        self.name = name
        self._loaded = loaded
        self._function = get_aggregate_function(function)
        self.reset()

    def reset(self) -> None:
        self._client: Any = SimpleNamespace(
            action_queue=Queue(),
            action_queue_lock=Lock(),
            latest_action=-1,
            latest_action_lock=Lock(),
            logger=logging.getLogger(__name__),
        )
        self._incoming: list[TimedAction] = []

    def ask(self, tick: int, episode: Episode, delay: int, seed: int) -> None:
        policy: Any = self._loaded.policy
        chunk = policy.predict_action_chunk(
            _batch(self._loaded, episode, tick), noise=_noise(policy.config, seed)
        )
        self._incoming = [
            TimedAction(timestamp=0.0, timestep=tick + i, action=action)
            for i, action in enumerate(self._loaded.postprocess(chunk).squeeze(0))
        ]

    def arrive(self, now: int) -> None:
        RobotClient._aggregate_action_queues(self._client, self._incoming, self._function)

    def act(self, tick: int) -> NDArray[np.float32]:
        timed = self._client.action_queue.get_nowait()
        self._client.latest_action = timed.get_timestep()
        result: NDArray[np.float32] = timed.get_action().numpy()
        return result
