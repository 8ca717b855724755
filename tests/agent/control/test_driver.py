"""Who may drive: stops, servos that complain, limits, and nothing to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.control.watch import Mode
from robots.arm.care import Demand
from robots.errors import ConfigError
from tests.agent.control.bench import Bench
from tests.helpers import wait_until


def test_a_stop_holds_until_it_is_cleared(bench: Bench) -> None:
    bench.order(lambda: bench.loop.stop("a button"))
    bench.hear("stopped")
    ticks = bench.loop.stats.ticks
    wait_until(lambda: bench.loop.stats.ticks > ticks + 5)
    held = bench.arm.sent[-1]
    wait_until(lambda: bench.loop.stats.ticks > ticks + 15)
    assert bench.arm.sent[-1] == held
    assert bench.loop.status()["state"] == "stopped"
    bench.order(lambda: bench.loop.clear())
    bench.hear("cleared")
    wait_until(lambda: bench.arm.sent[-1] != held)


def test_a_rule_that_bites_is_counted_each_tick_and_told_once(bench: Bench) -> None:
    bench.leader.value = 500.0
    bench.hear("guard")
    wait_until(lambda: bench.loop.stats.trips["out of range"] > 20)
    bench.hear("guard")
    told = [e for e in bench.events if e["event"] == "guard" and e["cause"] == "out of range"]
    assert len(told) == 1
    assert max(max(action) for action in bench.arm.sent) <= 100


def test_a_file_stops_it_and_must_be_gone_before_it_is_cleared(bench: Bench) -> None:
    bench.stop_file.touch()
    bench.hear("stopped")
    with pytest.raises(ConfigError, match="stop file is still there"):
        bench.order(lambda: bench.loop.clear())
    bench.stop_file.unlink()
    assert bench.loop.driver.stopped is not None, "the file's end is no order to go on"
    bench.order(lambda: bench.loop.clear())
    assert bench.loop.driver.stopped is None


def test_servos_that_press_on_something_get_their_goals_back(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 3)
    bench.arm.wants = Demand("yield", "overload", ("a",))
    bench.hear("mode")
    wait_until(lambda: bench.arm.sent[-1] == bench.arm.sent[-2] == bench.arm.position.tolist())
    driven = bench.loop.stats.driven
    bench.arm.wants = None
    wait_until(lambda: bench.loop.stats.driven > driven + 3)


def test_a_joint_that_was_limp_is_driven_on_from_where_it_is(bench: Bench) -> None:
    bench.leader.value = 80.0
    wait_until(lambda: bench.arm.sent and bench.arm.sent[-1][0] > 80)

    def fall() -> None:
        # Its power was away, something moved it, and it holds again.
        bench.arm.position = np.array([-95.0, bench.arm.position[1]], np.float32)
        bench.arm.taken_hold_of = {"a.pos"}
        bench.arm.sent.clear()

    bench.order(fall)
    wait_until(lambda: len(bench.arm.sent) > 3)
    assert bench.arm.sent[0][0] <= -95 + 100, "by a step, not back to its last goal at once"


def test_an_arm_that_yields_again_and_again_is_stopped(bench: Bench) -> None:
    for _ in range(3):
        bench.arm.wants = Demand("yield", "overload", ("a",), presses=True)
        wait_until(lambda: bench.loop.driver.watch.mode is Mode.YIELD or bench.loop.driver.stopped)
        bench.arm.wants = None
        wait_until(lambda: bench.loop.driver.watch.mode is not Mode.YIELD)
    assert "yielded 3 times" in bench.hear("stopped")["cause"]


def test_a_hot_arm_goes_to_its_pose_at_start_and_lets_go_until_it_is_cool(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    bench.arm.wants = Demand("rest", "hot", ("a",))
    wait_until(lambda: bench.arm.resting)
    assert bench.arm.sent[-1] == pytest.approx([1.0, 2.0], abs=0.5)
    sent, polls = len(bench.arm.sent), bench.arm.polls
    wait_until(lambda: bench.arm.polls > polls + 5)
    assert len(bench.arm.sent) == sent, "nothing is sent to an arm without torque"
    bench.arm.wants = None
    wait_until(lambda: not bench.arm.resting and len(bench.arm.sent) > sent + 3)


def test_a_stopped_arm_does_not_even_go_to_rest(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    bench.order(lambda: bench.loop.stop("a button"))
    bench.arm.wants = Demand("rest", "hot", ("a",))
    ticks = bench.loop.stats.ticks
    wait_until(lambda: bench.loop.stats.ticks > ticks + 40)
    assert bench.arm.sent[-1] == bench.arm.sent[-20]
    assert not bench.arm.resting


def test_with_nothing_to_do_for_long_it_parks_and_goes_on_when_there_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path, park_after_s=0.1)
    wait_until(lambda: bench.loop.stats.driven > 10)
    value, bench.leader.value = bench.leader.value, None
    resets = bench.leader.resets
    bench.hear("parked")
    assert bench.leader.resets == resets + 1, "what a policy computes meanwhile is for another pose"
    wait_until(lambda: bench.arm.sent[-1] == pytest.approx([1.0, 2.0], abs=1e-2))
    driven = bench.loop.stats.driven
    bench.leader.value = value
    wait_until(lambda: bench.loop.stats.driven > driven + 3)
    bench.end()


def test_with_a_source_that_has_nothing_a_stop_is_cleared_without_harm(bench: Bench) -> None:
    bench.order(lambda: bench.loop.set_source("hold"))
    for _ in range(3):
        bench.order(lambda: bench.loop.stop("a button"))
        ticks = bench.loop.stats.ticks
        wait_until(lambda n=ticks: bench.loop.stats.ticks > n + 3)
        bench.order(bench.loop.clear)
        bench.arm.wants = Demand("yield", "overload", ("a",))
        wait_until(lambda: bench.loop.driver.watch.mode is Mode.YIELD)
        bench.arm.wants = None
        wait_until(lambda: bench.loop.driver.watch.mode is Mode.DRIVE)
    assert bench.thread.is_alive()


def test_only_the_joint_that_presses_gives_way_and_only_once(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    bench.arm.stuck = np.array([1.0, 2.0], np.float32)
    wait_until(lambda: bench.arm.position is bench.arm.stuck)
    bench.arm.wants = Demand("yield", "overload", ("a",))
    wait_until(lambda: bench.loop.driver.watch.mode is Mode.YIELD)
    ticks = bench.loop.stats.ticks
    wait_until(lambda: bench.loop.stats.ticks > ticks + 5)
    assert bench.arm.sent[-1][0] == pytest.approx(1.0)
    assert bench.arm.sent[-1][1] != pytest.approx(2.0, abs=0.5), "it goes on holding"
    bench.arm.stuck = np.array([0.0, 2.0], np.float32)
    ticks = bench.loop.stats.ticks
    wait_until(lambda: bench.loop.stats.ticks > ticks + 5)
    assert bench.arm.sent[-1][0] == pytest.approx(1.0), "it doesn't sink with the joint"


def test_a_stopped_arm_does_not_press_on_what_is_in_its_way(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    bench.arm.stuck = np.array([1.0, 2.0], np.float32)
    wait_until(lambda: bench.arm.sent[-1][0] > 40)
    bench.order(lambda: bench.loop.stop("a hand in the way"))
    slack = bench.loop.driver.guard.slack[0] + 0.01
    wait_until(lambda: abs(bench.arm.sent[-1][0] - 1.0) <= slack, what="its goal came back")


def test_a_complaint_on_the_last_way_back_does_not_keep_it_from_ending(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    bench.loop.soon(lambda: bench.loop.shutdown("over"))
    bench.arm.wants = Demand("yield", "overload", ("a",))
    wait_until(lambda: bench.loop.driver.watch.mode is Mode.YIELD or bench.arm.released)
    bench.arm.wants = None
    bench.thread.join(20)
    assert bench.arm.released


def test_an_arm_that_does_not_answer_is_waited_for_before_it_is_let_go(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    bench.arm.state_ = "degraded"
    bench.loop.soon(lambda: bench.loop.shutdown("over"))
    ticks = bench.loop.stats.ticks
    wait_until(lambda: bench.loop.stats.ticks > ticks + 20)
    assert not bench.arm.released, "let go here, it would fall"
    bench.arm.state_ = "ok"
    bench.thread.join(20)
    assert bench.arm.sent[-1] == pytest.approx([1.0, 2.0], abs=1e-2)


def test_without_leave_to_park_a_hot_arm_holds(tmp_path: Path) -> None:
    bench = Bench(tmp_path, park=False)
    bench.arm.wants = Demand("rest", "hot", ("a",))
    wait_until(lambda: bench.loop.driver.watch.mode is Mode.HOLD)
    assert not bench.arm.resting
    bench.end()


def test_a_defect_in_the_loop_leaves_the_arm_holding(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def fails() -> None:
        raise ZeroDivisionError("a defect")

    bench.expected = ZeroDivisionError
    bench.loop.soon(fails)
    bench.thread.join(20)
    assert bench.arm.released
    assert not bench.arm.torque_off
