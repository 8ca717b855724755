"""What is recorded, where and how: the fields of LeRobot's ``DatasetRecordConfig`` that apply.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import asdict, dataclass
from typing import Any

from agent.control.episodes import Trigger
from robots.errors import ConfigError


@dataclass(kw_only=True)
class RecordConfig:
    """Recording of one agent."""

    # Name of the data set, as on the hub: where `armada data push` sends it unless told otherwise;
    # nothing is pushed by itself.
    repo_id: str = "local/armada"
    # Its folder; empty: in the agent's state folder.
    root: str = ""
    # The task in words; --task wins.
    single_task: str = ""
    # What begins and ends episodes: schedule, operator, success, always or correction.
    trigger: str = "schedule"
    # Seconds per episode, at the most.
    episode_time_s: float = 60.0
    # Pause between episodes, in seconds.
    reset_time_s: float = 5.0
    # Episodes to record at start; 0: none until the operator asks.
    num_episodes: int = 0
    # Seconds that are kept in memory: with operator and correction an episode begins with those
    # before its trigger, with schedule and success they are for `armada record save_last`; 0: none.
    pre_trigger_s: float = 0.0
    # Store pictures as video; False: as pictures in the parquet files.
    video: bool = True
    # Video codec: auto (a hardware encoder if one works here, else h264), h264, hevc, libsvtav1, …
    vcodec: str = "auto"
    # Threads per encoder; 0: the codec decides.
    encoder_threads: int = 1
    # Memory for pictures that wait for the encoder, in MB; from a quarter of it on pictures are
    # reduced, and when it is full they are repeated. Half as much again for --pre_trigger_s.
    buffer_mb: int = 512
    # Recording ends when less than this is free on the disk, in GB; 0: never.
    min_free_gb: float = 1.0
    # The most the data set may take, in GB: the oldest episodes that were trained on or pushed make
    # room for new ones; 0: no limit.
    quota_gb: float = 0.0
    # Whether episodes that were neither trained on nor pushed make room as well.
    delete_unused: bool = False

    def __post_init__(self) -> None:
        for name in ("episode_time_s", "buffer_mb"):
            if getattr(self, name) <= 0:
                raise ConfigError(
                    "must be positive", field=f"--dataset.{name}", value=getattr(self, name)
                )
        for name in (
            "reset_time_s",
            "num_episodes",
            "pre_trigger_s",
            "encoder_threads",
            "min_free_gb",
            "quota_gb",
        ):
            if getattr(self, name) < 0:
                raise ConfigError(
                    "can't be negative", field=f"--dataset.{name}", value=getattr(self, name)
                )
        if self.trigger not in [*Trigger]:
            raise ConfigError(
                "there is no such trigger",
                field="--dataset.trigger",
                value=self.trigger,
                remedy="One of: " + ", ".join(Trigger),
            )
        if self.num_episodes and not Trigger(self.trigger).counts:
            raise ConfigError(
                f"with --dataset.trigger={self.trigger} episodes aren't counted",
                field="--dataset.num_episodes",
                value=self.num_episodes,
                remedy="Leave it out",
            )
        if self.pre_trigger_s and Trigger(self.trigger) is Trigger.ALWAYS:
            raise ConfigError(
                "with --dataset.trigger=always no second lies outside of an episode",
                field="--dataset.pre_trigger_s",
                value=self.pre_trigger_s,
                remedy="Leave it out",
            )

    def to_json(self) -> dict[str, Any]:
        """For the recorder's command line."""
        return asdict(self)
