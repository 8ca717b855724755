"""A leader that fails costs actions, never the loop."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lerobot.teleoperators import make_teleoperator_from_config
from lerobot.teleoperators.so_leader import SO101LeaderConfig

from benchmarks.rig import Power
from robots.arm.leader import Leader
from robots.emulator import joints
from robots.errors import DeviceError
from tests.helpers import wait_until


@pytest.fixture(scope="module")
def power() -> Iterator[Power]:
    with Power(f"leader{os.getpid()}") as power:
        yield power


@pytest.fixture
def leader(power: Power, tmp_path: Path) -> Iterator[Leader]:
    power.do("mend")
    (tmp_path / "l.json").write_text(json.dumps(joints.calibration()))
    config = SO101LeaderConfig(id="l", port=str(power.port), calibration_dir=tmp_path)
    leader = Leader(make_teleoperator_from_config(config))
    leader.connect()
    yield leader
    power.do("mend")
    leader.disconnect()


def test_it_reads_what_a_hand_does(leader: Leader, power: Power) -> None:
    power.do("push", id=3, to=1500)

    def pushed() -> bool:
        action = leader.read()
        return action is not None and abs(action["elbow_flex.pos"]) > 30

    wait_until(pushed, what="the elbow is where it was pushed")


def test_lost_answers_cost_readings(leader: Leader, power: Power) -> None:
    power.do("drop")
    assert leader.read() is None
    power.do("mend")
    wait_until(lambda: leader.read() is not None)
    assert not leader.lost


def test_unplugged_it_has_nothing_to_say_and_is_taken_up_again(
    leader: Leader, power: Power
) -> None:
    power.do("unplug")
    wait_until(lambda: (leader.read(), leader.lost)[1], what="it is lost")
    assert leader.read() is None
    power.do("replug")
    wait_until(lambda: leader.read() is not None, what="it is back")


def test_one_with_motors_is_held_where_it_is_moved_and_let_go(leader: Leader, power: Power) -> None:
    assert leader.has_motors
    power.do("push", id=3, to=1500)
    wait_until(lambda: abs((leader.read() or {}).get("elbow_flex.pos", 0)) > 30)
    # Again, when an answer doesn't come in time.
    before = wait_until(leader.read)
    assert before is not None
    wait_until(leader.hold)
    assert all(power.torque())
    held = wait_until(leader.read)
    assert held == pytest.approx(before, abs=1.0), "it doesn't jump to an earlier goal"
    wait_until(lambda: leader.move(dict.fromkeys(before, 10.0)))
    wait_until(
        lambda: leader.read() == pytest.approx(dict.fromkeys(before, 10.0), abs=1.5),
        what="it is where it was sent",
    )
    wait_until(leader.let_go)
    assert not any(power.torque())


def test_unplugged_it_can_not_be_held_either(leader: Leader, power: Power) -> None:
    power.do("unplug")
    assert not leader.hold()
    assert not leader.let_go()
    power.do("replug")


def test_one_that_is_not_calibrated_is_refused(power: Power, tmp_path: Path) -> None:
    config = SO101LeaderConfig(id="x", port=str(power.port), calibration_dir=tmp_path)
    other = Leader(make_teleoperator_from_config(config))
    with pytest.raises(DeviceError, match="isn't calibrated"):
        other.connect()
    other.disconnect()
