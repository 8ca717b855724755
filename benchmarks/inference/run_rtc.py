"""LeRobot's real-time chunking: ``lerobot-rollout --inference.type=rtc`` with its base strategy, as
it is; hooks around its functions tell what happens.
"""

from __future__ import annotations

import threading
from typing import Any

from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.rtc import ActionQueue
from lerobot.rollout import RolloutConfig, build_rollout_context, create_strategy
from lerobot.rollout.inference import RTCInferenceConfig

from benchmarks.inference.job import FPS, TASK, Job, Log
from benchmarks.inference.robot import follower
from benchmarks.rig import Power

_ALWAYS = 10_000
"""Actions that may be left when the next chunk is asked for."""


def run(power: Power, job: Job, log: Log, over: threading.Event) -> None:
    """Until ``over``."""
    policy = PreTrainedConfig.from_pretrained(job.policy)
    policy.pretrained_path = job.policy
    inference = RTCInferenceConfig(queue_threshold=_ALWAYS) if job.always else RTCInferenceConfig()
    config = RolloutConfig(
        robot=follower(power, job),
        policy=policy,
        inference=inference,
        fps=FPS,
        task=TASK,
        device="cpu",
        return_to_initial_position=False,
    )
    context = build_rollout_context(config, over)
    robot, engine = context.hardware.robot_wrapper.inner, context.policy.inference
    observe, act, take, merge = (
        robot.get_observation,
        robot.send_action,
        engine.get_action,
        ActionQueue.merge,
    )

    def observed() -> Any:
        log.tick()
        return observe()

    def acted(action: dict[str, float]) -> Any:
        sent = act(action)
        log.act([*action.values()], len(log.chunks))
        return sent

    def taken(frame: Any) -> Any:
        action = take(frame)
        if action is None:
            log.starve()
        return action

    def merged(queue: ActionQueue, *chunk: Any) -> None:
        merge(queue, *chunk)
        log.chunk()

    robot.get_observation, robot.send_action = observed, acted
    engine.get_action = taken
    ActionQueue.merge = merged
    strategy = create_strategy(config.strategy)
    strategy.setup(context)
    try:
        strategy.run(context)
    finally:
        strategy.teardown(context)
