"""Puts the control process together from its configuration."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.robots import Robot, RobotConfig, make_robot_from_config
from lerobot.teleoperators import make_teleoperator_from_config
from numpy.typing import NDArray

from agent.config import RunConfig
from agent.control.arm import Arm
from agent.control.asking import Asking
from agent.control.chunk_stats import ChunkStats
from agent.control.episodes import EpisodeSchedule, Trigger
from agent.control.guard import Guard
from agent.control.loop import ControlLoop
from agent.control.operator_role import OperatorRole
from agent.control.orders import handlers
from agent.control.peers import Peers
from agent.control.policy_role import SLOTS, PolicyRole
from agent.control.recorded import RecordedSource
from agent.control.recorder_role import RecorderRole
from agent.control.recording import Recording
from agent.control.sources import Hold, PolicySource, Source, TeleopSource
from agent.control.stats import LoopStats
from agent.control.stop_file import StopFile
from agent.control.tally import ReplayTally
from agent.control.ticker import Ticker
from agent.control.timeline import Timeline
from agent.ipc import FrameBuffer, FrameLayout
from robots.arm.stable import by_stable_names
from robots.errors import ArmadaError, ConfigError
from robots.registry import register_all
from robots.replay import ReplayRobot

logger = logging.getLogger(__name__)

RING_B = 128 * 1024 * 1024
"""Memory for frames on their way to the recorder: 2 s of two 640×480 cameras at 30 Hz."""


def make_robot(config: RobotConfig) -> tuple[Robot, FrameLayout]:
    """Build the robot without connecting to it.

    Raises:
        ConfigError: LeRobot refuses the configuration.
    """
    register_all()
    for change in by_stable_names(config):
        logger.info("%s", change)
    try:
        robot = make_robot_from_config(config)
    except (ValueError, TypeError, ImportError) as error:
        if isinstance(error.__cause__, ArmadaError):
            # LeRobot wraps what a plug-in's constructor raises; ours is already clear.
            raise error.__cause__ from None
        raise ConfigError(
            f"the robot can't be built: {error}", field="--robot.type", value=config.type
        ) from error
    return robot, FrameLayout.from_features(robot.observation_features, robot.action_features)


def build(config: RunConfig) -> tuple[ControlLoop, Peers]:
    """Connect the arm and everything around it; the loop can run when it returns.

    Raises:
        ArmadaError: something is refused; the arm was not moved and is released.
    """
    robot, layout = make_robot(config.robot)
    state = config.state
    state.create()
    arm = Arm(robot, layout, max_frame_age_s=config.guard.max_frame_age_s)
    stats = LoopStats(1.0 / config.fps)
    chunks = ChunkStats()
    timeline = Timeline(config.inference.make_merge())
    teleop = None
    if config.teleop is not None:
        teleop = TeleopSource(make_teleoperator_from_config(config.teleop), layout.action_names)

    shared = state.shared_memory
    observations = FrameBuffer(shared / "observation.frames", layout, SLOTS, create=True)
    slots = max(8, min(64, RING_B // layout.slot_nbytes))
    ring = FrameBuffer(shared / "recorder.frames", layout, slots, create=True)

    about: dict[str, Any] = {
        "layout": layout.to_json(),
        "fps": config.fps,
        "task": config.task,
        "robot": config.robot_name,
        "robot_type": robot.name,
    }

    # The roles need the loop (to emit events) and the loop needs the roles: it is filled in below.
    loop: ControlLoop

    def emit(kind: str, cause: str, **data: Any) -> None:
        loop.emit(kind, cause, **data)

    policy = PolicyRole(
        buffer=observations,
        timeline=timeline,
        stats=chunks,
        emit=emit,
        welcome=about | {"buffer": str(observations.path), "slots": SLOTS},
        asking=Asking(stats.period_s, config.inference.execution_horizon),
        deadline_s=config.inference.deadline_s,
        continues=config.inference.continues,
    )
    recorder = RecorderRole(
        buffer=ring,
        emit=emit,
        welcome=about | {"buffer": str(ring.path), "slots": slots},
        on_gone=lambda: loop.recording.lost(),
        between=config.dataset.pre_trigger_s > 0,
    )
    sources: dict[str, Source] = {"hold": Hold()}
    if config.has_policy:
        played = isinstance(robot, ReplayRobot)
        sources["policy"] = PolicySource(timeline, policy, chunks.seams, played=played)
    if teleop is not None:
        sources["teleop"] = teleop
    schedule = EpisodeSchedule(
        episode_ticks=round(config.dataset.episode_time_s * config.fps),
        reset_ticks=round(config.dataset.reset_time_s * config.fps),
        trigger=Trigger(config.dataset.trigger),
    )
    if config.dataset.num_episodes:
        schedule.start(config.dataset.num_episodes)

    arm.connect()
    try:
        if teleop is not None:
            teleop.connect()
        guard = Guard(layout.action_names, arm.ranges(), 1.0 / config.fps, config.guard)
        if config.recorded.dataset:
            sources["recorded"] = RecordedSource(config.recorded, layout, guard, config.fps)
        loop = ControlLoop(
            arm=arm,
            guard=guard,
            safety=config.guard,
            stop_file=StopFile(config.stop_file),
            ticker=Ticker(config.fps),
            stats=stats,
            chunks=chunks,
            sources=sources,
            source=config.first_source,
            teleop=teleop,
            handover=config.handover,
            policy=policy,
            recorder=recorder,
            recording=Recording(
                recorder=recorder,
                schedule=schedule,
                success=arm.success,
                before_s=config.dataset.pre_trigger_s,
            ),
            task=config.task,
            duration_s=config.duration,
            home=_home(state.home, layout) if arm.found_holding else None,
            park=config.return_to_initial_position,
            tally=(
                ReplayTally(layout.action_names)
                if isinstance(robot, ReplayRobot) and not robot.config.loop
                else None
            ),
        )
        operators = OperatorRole(
            handlers(loop), loop.status, lambda fields, role: relay(fields, role)
        )
        peers = Peers(
            state.control_socket,
            {
                "policy": policy,
                "recorder": recorder,
                "link": operators,
                "cli": operators,
                "supervisor": operators,
            },
        )
    except BaseException:
        arm.release()
        raise

    def relay(fields: dict[str, Any], role: str) -> None:
        # Whoever said it gets it back as well, and knows it by this mark.
        peers.publish("event", fields | {"via": role})

    return loop, peers


def _home(path: Path, layout: FrameLayout) -> NDArray[np.float32] | None:
    """The pose at start that the supervisor kept, for an arm that held itself up meanwhile: a pose
    in mid-air, where control happened to die, is no place to let go."""
    if not path.is_file():
        return None
    pose = json.loads(path.read_text(encoding="utf-8"))
    if set(pose) != set(layout.action_names):
        return None
    return np.array([pose[name] for name in layout.action_names], np.float32)
