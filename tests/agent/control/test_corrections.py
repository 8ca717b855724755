"""The arm changes hands without a jump; the leader is played, the rest is real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.control.chunk_stats import ChunkStats
from agent.control.corrections import GRIP, Phase
from agent.control.episodes import Trigger
from agent.control.handover_config import HandoverConfig
from agent.control.sources import PolicySource
from agent.control.timeline import Timeline
from robots.errors import ConfigError
from tests.agent.control.bench import Bench
from tests.agent.control.test_recording import FAULT, INTERVENTION, LONG, Tape
from tests.helpers import wait_until

QUICK = HandoverConfig(blend_s=0.3, leader_s=0.2)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def build(*, motors: bool = False, **fields: Any) -> Bench:
        bench = Bench(tmp_path, **{"handover": QUICK} | fields)
        benches.append(bench)
        bench.order(lambda: bench.loop.set_source("policy"))
        bench.leader.has_motors = motors
        bench.leader.at = np.array([40.0, -40.0], np.float32)
        return bench

    yield build
    for bench in benches:
        bench.end()


def phase(bench: Bench) -> Phase:
    return bench.loop.corrections.phase


def largest_step(sent: list[list[float]]) -> float:
    return float(np.abs(np.diff(np.array(sent), axis=0)).max())


def test_an_arm_comes_to_a_leader_without_motors_and_does_not_jump(
    make: Callable[..., Bench],
) -> None:
    bench = make(handover=HandoverConfig(blend_s=1.0, leader_s=0.2))
    bench.arm.sent.clear()
    bench.order(bench.loop.corrections.correct)
    assert phase(bench) is Phase.CORRECTING
    wait_until(lambda: bench.arm.sent[-1] == pytest.approx([40.0, -40.0]))
    assert largest_step(bench.arm.sent) < 20, "of the 100 that the guard would let through"
    bench.order(bench.loop.corrections.resume)
    assert phase(bench) is Phase.AUTONOMOUS
    assert bench.loop.status()["source"] == "hold", "the bench's policy"


def test_what_the_policy_planned_is_dropped_when_it_is_taken_and_when_it_goes_on(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    policy = bench.loop.policy
    bench.loop.sources["policy"] = PolicySource(Timeline(), policy, ChunkStats().seams)
    bench.order(lambda: bench.loop.set_source("policy"))
    epochs = [policy.epoch]
    for order in (bench.loop.corrections.correct, bench.loop.corrections.resume):
        bench.order(order)
        epochs.append(policy.epoch)
    assert epochs[0] < epochs[1] < epochs[2]


def test_a_leader_with_motors_comes_to_the_arm_and_waits_for_a_hand(
    make: Callable[..., Bench],
) -> None:
    bench = make(motors=True)
    wait_until(lambda: bench.arm.sent)
    held = bench.arm.sent[-1]
    bench.order(bench.loop.corrections.correct)
    wait_until(lambda: phase(bench) is Phase.PAUSED)
    assert bench.leader.torque
    assert bench.leader.at == pytest.approx(np.array(held))
    bench.hear("correction")
    ticks = bench.loop.stats.ticks
    wait_until(lambda: bench.loop.stats.ticks > ticks + 60)
    assert phase(bench) is Phase.PAUSED, "no hand is there"
    assert bench.leader.at is not None
    bench.leader.at = bench.leader.at + np.float32(2 * GRIP)
    wait_until(lambda: phase(bench) is Phase.CORRECTING)
    assert not bench.leader.torque
    wait_until(lambda: bench.arm.sent[-1] == pytest.approx(bench.leader.at.tolist()))


def test_paused_the_next_order_takes_it_and_another_one_goes_back_to_the_pause(
    make: Callable[..., Bench],
) -> None:
    bench = make(motors=True)
    bench.order(bench.loop.corrections.pause)
    assert phase(bench) is Phase.ALIGNING
    wait_until(lambda: phase(bench) is Phase.PAUSED)
    bench.order(bench.loop.corrections.correct)
    assert phase(bench) is Phase.CORRECTING
    bench.order(bench.loop.corrections.correct)
    assert bench.leader.torque
    wait_until(lambda: phase(bench) is Phase.PAUSED)
    bench.order(bench.loop.corrections.resume)
    assert not bench.leader.torque


def test_a_leader_that_does_not_answer_does_not_take_the_arm(make: Callable[..., Bench]) -> None:
    bench = make(motors=True)
    bench.order(bench.loop.corrections.pause)
    bench.leader.answers = False
    with pytest.raises(ConfigError, match="doesn't answer"):
        bench.order(bench.loop.corrections.correct)
    assert bench.loop.corrections.paused


def test_a_leader_that_is_moved_takes_over_by_itself(make: Callable[..., Bench]) -> None:
    bench = make(handover=HandoverConfig(blend_s=0.2, by_moving=10.0))
    ticks = bench.loop.stats.ticks
    wait_until(lambda: bench.loop.stats.ticks > ticks + 10)
    assert phase(bench) is Phase.AUTONOMOUS
    bench.leader.at = np.array([60.0, -40.0], np.float32)
    wait_until(lambda: phase(bench) is Phase.CORRECTING)


def test_a_stop_stops_the_leader_as_well(make: Callable[..., Bench]) -> None:
    bench = make(motors=True, handover=HandoverConfig(leader_s=30.0))
    bench.order(bench.loop.corrections.pause)
    bench.order(lambda: bench.loop.stop("a button"))
    wait_until(lambda: phase(bench) is Phase.PAUSED)
    at = bench.leader.at
    ticks = bench.loop.stats.ticks
    wait_until(lambda: bench.loop.stats.ticks > ticks + 5)
    assert bench.leader.at is at


def test_who_is_told_to_drive_ends_a_correction(make: Callable[..., Bench]) -> None:
    bench = make(motors=True)
    bench.order(bench.loop.corrections.pause)
    bench.order(lambda: bench.loop.set_source("hold"))
    assert phase(bench) is Phase.AUTONOMOUS
    assert not bench.leader.torque
    with pytest.raises(ConfigError, match="nothing is paused"):
        bench.order(bench.loop.corrections.resume)
    bench.order(lambda: bench.loop.set_source("teleop"))
    with pytest.raises(ConfigError, match="drives already"):
        bench.order(bench.loop.corrections.correct)


def test_a_correction_is_an_episode_and_its_frames_say_so(make: Callable[..., Bench]) -> None:
    bench = make(trigger=Trigger.CORRECTION, before_s=3.0, episode_ticks=LONG)
    tape = Tape(bench)
    bench.order(bench.loop.corrections.correct)
    tape.hear(lambda: len(tape.frames) > 5)
    bench.order(bench.loop.corrections.resume)
    tape.hear(lambda: tape.ended)
    assert tape.begun[0]["before_s"] == 3.0, "with what led to it"
    assert tape.ended[0]["save"]
    assert tape.ended[0]["marks"]["intervention"]
    assert set(tape.frames) <= {INTERVENTION, INTERVENTION + FAULT}
    assert INTERVENTION in tape.frames


def test_in_a_longer_episode_frames_of_the_pause_are_nothing_to_learn_from(
    make: Callable[..., Bench],
) -> None:
    bench = make(trigger=Trigger.OPERATOR, episode_ticks=LONG)
    tape = Tape(bench)
    bench.order(lambda: bench.loop.recording.start(1))
    tape.hear(lambda: len(tape.frames) > 2)
    bench.order(bench.loop.corrections.pause)
    tape.hear(lambda: INTERVENTION + FAULT in tape.frames)
