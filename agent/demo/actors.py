"""Who takes part: emulated arms that record, or robots that play their share of a data set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.demo.config import DemoConfig
from robots.errors import DataError

if TYPE_CHECKING:
    from robots.replay.info import DatasetInfo

TASK = "reach the red goal"
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


@dataclass(frozen=True)
class Actor:
    """One robot of the demonstration.

    Args:
        name: In the fleet.
        state: Its state folder.
        flags: What makes it this robot, for ``armada run``.
        fps: Its control rate, Hz.
        episodes: How many it has or will have recorded.
        records: Whether it records them itself.
    """

    name: str
    state: Path
    flags: tuple[str, ...]
    fps: int
    episodes: int
    records: bool


@dataclass(frozen=True)
class Cast:
    """All of them and the policy that fits them.

    Args:
        actors: The robots.
        base: Folder of the policy that they start from.
        about: One sentence for people.
    """

    actors: tuple[Actor, ...]
    base: Path
    about: str


def emulated(config: DemoConfig, out: Path) -> Cast:
    """Arms on emulated servos, driven by a scripted expert while they record."""
    from agent.policy.init import build_policy

    base = build_policy(
        out / "base",
        size="tiny",
        cameras={"front": (96, 96)},
        action_names=[f"{joint}.pos" for joint in JOINTS],
    )
    actors = []
    for i in range(1, config.robots + 1):
        name = f"arm{i}"
        # The emulated arm's own id: several demonstrations may run on one machine.
        robot_id = f"demo-{out.resolve().name}-{name}"
        actors.append(
            Actor(
                name=name,
                state=out / name,
                flags=(
                    "--robot.type=so101_sim",
                    f"--robot.id={robot_id}",
                    f"--robot.seed={i}",
                    "--teleop.type=scripted_reach",
                    f"--teleop.id={robot_id}",
                    f"--task={TASK}",
                    f"--dataset.num_episodes={config.episodes}",
                    f"--dataset.episode_time_s={config.episode_time_s}",
                    "--dataset.reset_time_s=0.5",
                ),
                fps=config.fps,
                episodes=config.episodes,
                records=True,
            )
        )
    about = (
        f"{config.robots} emulated SO-101 arms; each records {config.episodes} episodes of a "
        "scripted motion to a goal that its camera sees"
    )
    return Cast(tuple(actors), base, about)


def recorded(config: DemoConfig, out: Path) -> Cast:
    """Robots that play their share of a data set's episodes, over and over.

    Raises:
        DataError: it can't be used, or has fewer episodes than there are robots.
    """
    from lerobot.datasets.dataset_tools import split_dataset

    from agent.data.open import open_dataset, open_info
    from agent.policy.init import build_policy
    from agent.policy.load import read_stats
    from agent.recorder.scheduling import no_realtime

    info = open_info(config.dataset)
    n = len(info.episodes)
    if n < config.robots:
        raise DataError(
            f"has {n} episodes for {config.robots} robots",
            field="--dataset",
            value=config.dataset,
            remedy="Name a larger one or fewer --robots",
        )
    base = build_policy(
        out / "base",
        size="tiny",
        cameras={key: (h, w) for key, (h, w, _) in info.cameras.items()},
        action_names=info.names("action"),
        state_names=info.names("observation.state"),
        stats=read_stats(info.root),
    )
    shares = {f"arm{i + 1}": _share(n, i, config.robots) for i in range(config.robots)}
    split_dataset(open_dataset(info.root), shares, out / "episodes")
    # LeRobot encodes AV1 there, and the server and all robots would be real-time as root.
    no_realtime()
    actors = tuple(
        Actor(
            name=name,
            state=out / name,
            flags=(
                "--robot.type=replay",
                f"--robot.id={name}",
                f"--robot.dataset={out / 'episodes' / name}",
                "--robot.loop=true",
                f"--dataset.root={out / 'episodes' / name}",
                f"--task={_task(info)}",
            ),
            fps=info.fps,
            episodes=len(episodes),
            records=False,
        )
        for name, episodes in shares.items()
    )
    counts = " and ".join(str(len(e)) for e in shares.values())
    return Cast(
        actors, base, f"{n} episodes of {info.root.name}, split {counts} between the robots"
    )


def _share(n: int, i: int, robots: int) -> list[int]:
    """Consecutive episodes: what one robot recorded in one go stays together."""
    return list(range(i * n // robots, (i + 1) * n // robots))


def _task(info: DatasetInfo) -> str:
    tasks = info.episodes[0].tasks
    return tasks[0] if tasks and tasks[0] else TASK


def train_report(state: Path) -> dict[str, Any]:
    """What a robot wrote down of its last training; empty if it never trained."""
    path = state / "training" / "last_train.json"
    if not path.is_file():
        return {}
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report
