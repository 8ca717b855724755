"""LeRobot's leader on a bus of its own takes a follower from the policy and gives it back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lerobot.teleoperators.so_leader import SO101LeaderConfig
from numpy.typing import NDArray

from agent.config import PolicyRef
from agent.control.handover_config import HandoverConfig
from benchmarks.rig import Control, Power
from robots.emulator.journal import read_journal
from robots.emulator.world import WorldFile

ELBOW = 3
ALIKE_TICKS = 60
"""5°: an arm that holds is a little off its goal."""


def joints(power: Power) -> NDArray[np.float64]:
    """(6,) where they are, ticks."""
    world = WorldFile(power.folder / "world")
    try:
        return world.read().position
    finally:
        world.close()


class Pair:
    """A follower whose policy has nothing to say yet, and a leader."""

    def __init__(self, follower: Power, leader: Power, control: Control, journal: Path) -> None:
        self.follower, self.leader, self.control = follower, leader, control
        self._journal = journal

    def order(self, name: str, phase: str) -> None:
        """Give an order and wait for what it leads to."""
        since = len(self.control.events)
        self.control.order(name)
        self.until_phase(phase, since)

    def until_phase(self, phase: str, since: int = 0) -> None:
        def there() -> bool:
            said = [e for e in self.control.events[since:] if e["event"] == "correction"]
            return bool(said) and said[-1]["data"]["phase"] == phase

        self.control.until(there, phase)

    def together(self) -> bool:
        return bool(np.abs(joints(self.follower) - joints(self.leader)).max() < ALIKE_TICKS)

    def largest_step(self) -> float:
        """Of a goal that the follower was told, ticks."""
        _, goals = read_journal(self._journal)
        return float(np.abs(np.diff(goals, axis=0)).max())


@pytest.fixture
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    name = f"takes{os.getpid()}"
    journal = tmp_path / "goals"
    given: dict[str, Any] = getattr(request, "param", {})
    with Power(name, journal=journal) as follower, Power(f"{name}-leader") as leader:
        leader.do("push", id=ELBOW, to=1500)
        teleop = SO101LeaderConfig(
            id=leader.robot_id, port=str(leader.port), calibration_dir=leader.calibration_dir
        )
        handover = HandoverConfig(**{"leader_s": 0.5, "blend_s": 0.5} | given)
        with Control(
            follower,
            tmp_path / "state",
            camera=False,
            teleop=teleop,
            policy=PolicyRef(path="not/asked"),
            task="t",
            source="policy",
            handover=handover,
        ) as control:
            yield Pair(follower, leader, control, journal)


def test_the_leader_comes_to_the_arm_and_a_hand_takes_it(pair: Pair) -> None:
    assert not pair.together()
    assert not any(pair.leader.torque()), "while the policy drives it is limp"
    pair.order("correct", "paused")
    pair.control.until(pair.together, "the leader is where the arm is")
    assert all(pair.leader.torque())
    pair.control.until(lambda: pair.control.status.get("correction") == "paused", "no hand yet")
    ticks = pair.control.status["ticks"]
    pair.control.until(lambda: pair.control.status["ticks"] > ticks + 30, "it waits")
    since = len(pair.control.events)
    pair.leader.do("push", id=ELBOW, to=int(joints(pair.leader)[ELBOW - 1]) - 300)
    pair.until_phase("correcting", since)
    assert not any(pair.leader.torque())
    pair.leader.do("push", id=ELBOW, to=1500)
    pair.control.until(pair.together, "the arm follows")
    pair.order("resume", "autonomous")
    pair.control.until(lambda: pair.control.status["source"] == "policy", "it drives on")


@pytest.mark.parametrize("pair", [{"move_leader": False, "blend_s": 2.0}], indirect=True)
def test_or_the_arm_comes_to_the_leader_without_a_jump(pair: Pair) -> None:
    before = joints(pair.follower)
    pair.order("correct", "correcting")
    pair.control.until(pair.together, "the arm is where the leader is")
    way = np.abs(joints(pair.follower) - before).max()
    assert way > 300
    assert pair.largest_step() < way / 4, "it is told its way in pieces"
    pair.order("resume", "autonomous")
    pair.control.until(lambda: pair.control.status["source"] == "policy", "it drives on")
    assert not pair.control.status["guard_trips"], "nobody asked for more than the guard allows"
