"""LeRobot's ``RobotClient`` as its command ``async_client`` runs it; its server is elsewhere.

Hooks around its functions tell what happens.
"""

from __future__ import annotations

import threading
from typing import Any

from lerobot.async_inference.configs import RobotClientConfig
from lerobot.async_inference.robot_client import RobotClient

from benchmarks.inference.job import CHUNK, FPS, TASK, Job, Log
from benchmarks.inference.robot import follower
from benchmarks.rig import Power


def run(power: Power, job: Job, log: Log, over: threading.Event) -> None:
    """Until ``over``."""
    config = RobotClientConfig(
        policy_type="smolvla",
        pretrained_name_or_path=job.policy,
        robot=follower(power, job),
        actions_per_chunk=CHUNK,
        task=TASK,
        server_address=job.server,
        fps=FPS,
        **({"chunk_size_threshold": 1.0} if job.always else {}),
    )
    client = RobotClient(config)
    act, available, merge, send = (
        client.robot.send_action,
        client.actions_available,
        client._aggregate_action_queues,
        client.send_observation,
    )

    def acted(action: dict[str, float]) -> Any:
        sent = act(action)
        log.act([*action.values()], len(log.chunks))
        return sent

    def looked() -> bool:
        """What every pass of its loop begins with."""
        log.tick()
        there: bool = available()
        if not there:
            log.starve()
        return there

    def merged(*chunk: Any) -> None:
        merge(*chunk)
        log.chunk()

    def observed(observation: Any) -> Any:
        log.observe()
        return send(observation)

    client.robot.send_action = acted
    client.send_observation = observed
    client.actions_available = looked
    client._aggregate_action_queues = merged
    if not client.start():
        raise ConnectionError(f"no policy server at {job.server}")
    client.shutdown_event = over
    receiver = threading.Thread(target=client.receive_actions, daemon=True)
    receiver.start()
    try:
        client.control_loop(task=TASK)
    finally:
        client.stop()
        receiver.join()
