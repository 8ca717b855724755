"""The emulator's own account of what it was told, and when."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from lerobot.robots import make_robot_from_config

from benchmarks.rig import Power
from robots.emulator import joints
from robots.emulator.journal import GoalJournal, read_journal
from tests.helpers import wait_until


def test_every_instruction_that_writes_goals_is_a_record(tmp_path: Path) -> None:
    low, high = joints.limits()
    middle = (low + high) / 2
    sent = [np.round(middle + 20 * i) for i in range(3)]
    with Power(f"journal{os.getpid()}", journal=tmp_path / "goals") as power:
        robot = make_robot_from_config(power.follower())
        robot.connect(calibrate=False)
        before = len(read_journal(tmp_path / "goals")[0])
        began = time.monotonic()
        for goal in sent:
            robot.send_action(joints.to_robot_units(goal, degrees=True))
            robot.get_observation()
        wait_until(lambda: len(read_journal(tmp_path / "goals")[0]) >= before + 3, what="goals")
        robot.disconnect()
    times, goals = read_journal(tmp_path / "goals")
    assert (np.abs(goals[before : before + 3] - sent) <= 1).all()
    assert (np.diff(times) >= 0).all()
    assert began <= times[before] <= time.monotonic()


def test_a_record_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    journal = GoalJournal(tmp_path / "goals")
    journal.note([1, 2, 3, 4, 5, 6])
    journal.close()
    with (tmp_path / "goals").open("ab") as file:
        file.write(b"half")
    times, goals = read_journal(tmp_path / "goals")
    assert len(times) == 1
    assert goals.tolist() == [[1, 2, 3, 4, 5, 6]]
