"""How chunks join: ``python -m benchmarks.seams --data ../shared/data/so101_cloth_wrist``.

A tiny SmolVLA learns the recording but for its last episodes (once; ``--steps``). Those it then
sees tick by tick: every ``--horizon`` ticks it is asked for a chunk, which is there ``--delays``
ticks later, by exact count. What the arm would be told is compared at the *seams*, the ticks at
which a chunk begins to act, with all other ticks: by how much a joint's goal jumps from the tick
before, RMS and maximum over joints; and with what the operator did. All contenders get the same
weights, observations and noise; the recording itself stands below them.

The second table is by joint. The third is what guidance costs: seconds a chunk, in turn; with
``--size full`` also for a SmolVLA of true size with random weights (HF_HUB_CACHE).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from lerobot.configs import RTCAttentionSchedule
from lerobot.policies.rtc import RTCConfig
from numpy.typing import NDArray

from agent.control.merging.config import MergeConfig
from agent.data.split import split
from agent.policy.load import LoadedPolicy
from benchmarks.seams.cost import costs
from benchmarks.seams.lerobot import LeRobotClient, LeRobotRTC
from benchmarks.seams.ours import Ours
from benchmarks.seams.policy import trained
from benchmarks.seams.recording import Episode, read


class Contender(Protocol):
    """Plays an episode tick by tick."""

    name: str

    def reset(self) -> None: ...
    def ask(self, tick: int, episode: Episode, delay: int, seed: int) -> None: ...
    def arrive(self, now: int) -> None: ...
    def act(self, tick: int) -> NDArray[np.float32]: ...


@dataclass
class Row:
    """What a contender did, all episodes and seeds."""

    seams: list[NDArray[np.float32]] = field(default_factory=list)
    elsewhere: list[NDArray[np.float32]] = field(default_factory=list)
    errors: list[NDArray[np.float32]] = field(default_factory=list)

    def add(
        self, told: NDArray[np.float32], at: Sequence[int], wanted: NDArray[np.float32]
    ) -> None:
        jumps = np.abs(np.diff(told, axis=0))
        is_seam = np.isin(np.arange(1, len(told)), at)
        self.seams.append(jumps[is_seam])
        self.elsewhere.append(jumps[~is_seam])
        self.errors.append(np.abs(told - wanted))

    def cells(self) -> str:
        seams, elsewhere = np.concatenate(self.seams), np.concatenate(self.elsewhere)
        error = np.concatenate(self.errors).mean()
        return (
            f"{_rms(seams):.2f} | {seams.max():.1f} | {_rms(elsewhere):.2f} | "
            f"{elsewhere.max():.1f} | {_rms(seams) / _rms(elsewhere):.2f} | {error:.2f}"
        )

    def by_joint(self) -> str:
        seams = np.concatenate(self.seams)
        rms = np.sqrt((seams**2).mean(axis=0))
        return " | ".join(f"{a:.2f} ({b:.1f})" for a, b in zip(rms, seams.max(axis=0), strict=True))


def play(
    contender: Contender, episode: Episode, delay: int, horizon: int, seed: int
) -> tuple[NDArray[np.float32], list[int]]:
    """What the arm is told, (N, A), and the ticks at which a new chunk began to act. The first
    chunk is there at once: the arm waits for it."""
    contender.reset()
    told, seams = [], []
    for tick in range(len(episode.action)):
        if tick % horizon == 0:
            contender.ask(tick, episode, delay, 1_000_003 * seed + tick)
        if tick == 0 or (tick % horizon == delay and tick > horizon):
            contender.arrive(tick)
            seams.append(tick)
        told.append(contender.act(tick))
    return np.stack(told), seams


def measure(
    contenders: Sequence[Contender],
    episodes: Sequence[Episode],
    delay: int,
    horizon: int,
    seeds: int,
) -> dict[str, Row]:
    """All of them on all episodes, in turn."""
    rows: dict[str, Row] = defaultdict(Row)
    for index, episode in enumerate(episodes):
        for seed in range(seeds):
            for contender in contenders:
                told, seams = play(contender, episode, delay, horizon, 31 * index + seed)
                rows[contender.name].add(told, seams[1:], episode.action)
        rows["the recording"].add(episode.action, seams[1:], episode.action)
        print(f"delay {delay}: episode {index + 1} of {len(episodes)}", file=sys.stderr)
    return rows


def line_up(loaded: LoadedPolicy, horizon: int) -> list[Contender]:
    """LeRobot's ways and ours."""
    size = loaded.config.chunk_size
    paper = RTCConfig(
        prefix_attention_schedule=RTCAttentionSchedule.EXP,
        max_guidance_weight=5.0,
        execution_horizon=size - horizon,
    )
    return [
        LeRobotClient("LeRobot client, weighted_average", loaded, "weighted_average"),
        LeRobotRTC("LeRobot RTC, its defaults", loaded),
        LeRobotRTC("LeRobot RTC, the paper's mask and β", loaded, paper),
        Ours("newest", loaded, MergeConfig(merge="newest")),
        Ours("weighted (weighted_average)", loaded, MergeConfig(merge="weighted")),
        Ours("ensemble", loaded, MergeConfig(merge="ensemble")),
        Ours("rtc, identity", loaded, MergeConfig(merge="rtc", guidance="identity")),
        Ours("rtc, exact", loaded, MergeConfig(merge="rtc")),
    ]


def main() -> int:
    """Train if need be, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a data set with a camera")
    parser.add_argument("--steps", type=int, default=3000, help="of training")
    parser.add_argument("--delays", type=int, nargs="+", default=[2, 6])
    parser.add_argument("--horizon", type=int, default=10, help="ticks from question to question")
    parser.add_argument("--seeds", type=int, default=3, help="of the noise")
    parser.add_argument("--size", choices=("tiny", "full"), default="tiny", help="third table")
    parser.add_argument("--repeats", type=int, default=9, help="third table")
    args = parser.parse_args()
    if not 0 < max(args.delays) < args.horizon:
        parser.error("a chunk must be there before the next is asked for: --delays < --horizon")
    info, episodes = read(args.data)
    loaded, said = trained(info, episodes, args.steps)
    heldout = [episodes[i] for i in split(len(episodes))[1]]
    still = np.concatenate([np.abs(e.state - e.action) for e in heldout]).mean()
    spread = np.concatenate([e.action for e in heldout]).std(axis=0).mean()
    print(
        f"{info.root.name}: {len(heldout)} held-out episodes, {sum(len(e.action) for e in heldout)}"
        f" ticks at {info.fps:g} Hz, {args.seeds} seeds; tiny SmolVLA, {said}; chunks of "
        f"{loaded.config.chunk_size}, asked for every {args.horizon} ticks; goals spread "
        f"{spread:.1f} and move {still:.2f} a tick. {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}\n"
    )
    print(
        "| delay, ticks | merge | seams, RMS | max | elsewhere, RMS | max | seams ÷ elsewhere "
        "| off the recording |\n|---|---|---|---|---|---|---|---|"
    )
    joints = []
    with torch.no_grad():
        for delay in args.delays:
            contenders = line_up(loaded, args.horizon)
            for name, row in measure(contenders, heldout, delay, args.horizon, args.seeds).items():
                print(f"| {delay} | {name} | {row.cells()} |", flush=True)
                joints.append(f"| {delay} | {name} | {row.by_joint()} |")
    names = [name.removesuffix(".pos") for name in info.names("action")]
    print(f"\n| delay, ticks | at seams, RMS (max) | {' | '.join(names)} |")
    print("|---" * (len(names) + 2) + "|")
    print("\n".join(joints))
    print("\n| SmolVLA | guidance | s a chunk | ÷ LeRobot without |\n|---|---|---|---|")
    print(costs("tiny", args.repeats, loaded))
    if args.size == "full":
        print(costs("full", args.repeats))
    return 0


def _rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(values).mean()))


if __name__ == "__main__":
    sys.exit(main())
