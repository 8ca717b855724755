"""Robots that ask LeRobot's policy server, with the calls and messages of its ``RobotClient``."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from threading import Event

import grpc
from lerobot.async_inference.helpers import RemotePolicyConfig, TimedObservation
from lerobot.transport import services_pb2, services_pb2_grpc
from lerobot.transport.utils import grpc_channel_options, send_bytes_in_chunks
from lerobot.utils.feature_utils import hw_to_dataset_features

from benchmarks.inference.fleet import JOINTS, Fleet, Loop, Pictures, Robot, states
from benchmarks.inference.job import CHUNK, TASK
from benchmarks.inference.pictures import CAMERAS, SIZE


def fleet(server: str, policy: str, moments: list[Pictures], number: int) -> Fleet:
    """So many, each in a thread. Each has the server load its policy, as its client does."""
    robots = [Robot(i) for i in range(number)]
    return Fleet(robots, [_loop(robot, server, policy, moments) for robot in robots])


def _loop(robot: Robot, server: str, policy: str, moments: list[Pictures]) -> Loop:
    features = hw_to_dataset_features(
        dict.fromkeys(JOINTS, float) | dict.fromkeys(CAMERAS, (*SIZE, 3)),
        "observation",
        use_video=False,
    )
    setup = pickle.dumps(RemotePolicyConfig("smolvla", policy, features, CHUNK, "cpu"))

    def ask(over: Event, ready: Callable[[], None]) -> None:
        with grpc.insecure_channel(server, grpc_channel_options()) as channel:
            stub = services_pb2_grpc.AsyncInferenceStub(channel)
            stub.Ready(services_pb2.Empty())
            stub.SendPolicyInstructions(services_pb2.PolicySetup(data=setup))
            ready()
            question, state = 0, states(robot.index)
            while not over.is_set():
                question += 1
                began = robot.ask()
                pose = dict(zip(JOINTS, next(state).tolist(), strict=True))
                observation = TimedObservation(
                    timestamp=time.time(),
                    observation=pose | dict(moments[question % len(moments)]) | {"task": TASK},
                    timestep=robot.number(question),
                    # As its client says when it has no action left.
                    must_go=True,
                )
                data = pickle.dumps(observation)
                try:
                    stub.SendObservations(send_bytes_in_chunks(data, services_pb2.Observation))
                    answer = stub.GetActions(services_pb2.Empty()).data
                except grpc.RpcError:
                    robot.fail()
                    continue
                if not answer:
                    robot.fail()
                    continue
                robot.hear(pickle.loads(answer)[0].get_timestep(), began)  # noqa: S301 - as it does

    return ask
