"""The configuration of ``armada replay``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass, field
from pathlib import Path

from lerobot.robots.config import RobotConfig

from agent.config import PolicyRef, RunConfig
from agent.control.limits import GuardConfig
from agent.control.recorded_config import RecordedConfig
from agent.inference_config import InferenceConfig
from agent.recorder.config import RecordConfig
from robots.errors import ConfigError
from robots.replay import ReplayRobotConfig
from robots.replay.info import DatasetInfo


@dataclass(kw_only=True)
class ReplayConfig:
    """`armada replay DATASET`: its frames to a policy, or its actions to an arm."""

    # Folder of a LeRobot data set (v3.0), or a hub id that is on this machine.
    dataset: str = ""
    # The policy that is asked what it would have done; or
    policy: PolicyRef = field(default_factory=PolicyRef)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    # the arm that is sent what was recorded, as in lerobot-replay.
    robot: RobotConfig | None = None
    # Its limits.
    guard: GuardConfig = field(default_factory=GuardConfig)
    # Move an arm back to the pose at start before letting go.
    return_to_initial_position: bool = True
    # The episode to play.
    episode: int | None = None
    # Or several; empty: all, for a policy.
    episodes: list[int] = field(default_factory=list)
    # 1: at the recorded rate, 2: twice as fast. (As fast as possible: `armada evaluate`.)
    speed: float = 1.0
    # The task in words; empty: the recording's.
    task: str = ""
    # Torch device of the policy; empty: the policy's own or the best there is.
    device: str = ""
    # Keys of the recording to keys of the policy.
    rename_map: dict[str, str] = field(default_factory=dict)
    # Where the arm's agent keeps its state (its stop, too); empty: as for `armada run`.
    state_dir: str = ""
    # Print JSON instead of a table.
    json: bool = False

    def __post_init__(self) -> None:
        if not self.dataset:
            raise ConfigError("is missing", field="dataset", remedy="See `armada replay --help`")
        if self.episode is not None:
            if self.episodes:
                raise ConfigError("give one of both", field="--episode, --episodes")
            self.episodes = [self.episode]
        has_policy = bool(self.policy.path or self.inference.server)
        if has_policy == (self.robot is not None):
            raise ConfigError(
                "give one of both: a policy that is asked, or an arm that is sent the actions",
                field="--policy.path, --robot.type",
                remedy="See `armada replay --help`",
            )
        if self.robot is not None and not self.episodes:
            raise ConfigError("is missing", field="--episode", remedy="Give --episode=0")
        if self.speed <= 0:
            raise ConfigError(
                "must be positive",
                field="--speed",
                value=self.speed,
                remedy="`armada evaluate` compares as fast as it can",
            )

    def to_run(self, info: DatasetInfo, scratch: str) -> RunConfig:
        """The same as a run.

        Args:
            info: Of the data set.
            scratch: A folder that is empty, and gone afterwards.
        """
        fps = max(1, round(info.fps * self.speed))
        tasks = info.episodes[0].tasks if info.episodes else ()
        task = self.task or (tasks[0] if tasks else "") or "replay"
        if self.robot is not None:
            return RunConfig(
                robot=self.robot,
                recorded=RecordedConfig(
                    dataset=str(Path(info.root).resolve()),
                    episodes=self.episodes,
                    speed=self.speed,
                ),
                # Nothing is recorded, and the arm's own data set is none of its business.
                dataset=RecordConfig(root=str(Path(scratch) / "episodes")),
                guard=self.guard,
                fps=fps,
                task=task,
                return_to_initial_position=self.return_to_initial_position,
                state_dir=self.state_dir,
            )
        return RunConfig(
            robot=ReplayRobotConfig(
                id="replay", dataset=self.dataset, episodes=self.episodes, speed=self.speed
            ),
            policy=self.policy,
            inference=self.inference,
            fps=fps,
            task=task,
            device=self.device,
            rename_map=self.rename_map,
            return_to_initial_position=False,
            state_dir=scratch,
        )
