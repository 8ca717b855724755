"""The control loop as its specification says; the arm is played, the rest is real."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.control.tally import ReplayTally
from robots.errors import ConfigError
from tests.agent.control.bench import LAYOUT, Bench
from tests.agent.control.test_recording import LONG
from tests.helpers import wait_until


def test_what_the_source_proposes_is_sent(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    assert bench.arm.sent[5][0] > bench.arm.sent[2][0]


def test_a_source_that_has_nothing_starves_and_the_arm_holds(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 3)
    bench.leader.value = None
    wait_until(lambda: bench.loop.stats.starved > 3)
    assert bench.arm.sent[-1] == bench.arm.sent[-2]
    assert "holds" in bench.hear("starved")["cause"], "and says so"


def test_another_source_drops_what_was_planned(bench: Bench) -> None:
    bench.order(lambda: bench.loop.set_source("hold"))
    assert bench.leader.resets >= 1
    assert bench.loop.status()["source"] == "hold"
    with pytest.raises(ConfigError, match="no such source"):
        bench.order(lambda: bench.loop.set_source("ghost"))


def test_another_task_drops_what_was_planned(bench: Bench) -> None:
    bench.order(lambda: bench.loop.set_task("stack"))
    assert bench.leader.resets >= 1
    assert bench.loop.policy.task == "stack"


def test_an_arm_that_was_lost_comes_back(bench: Bench) -> None:
    bench.arm.state_ = "lost"
    bench.arm.told.append(("arm_lost", "unplugged", {}))
    bench.hear("arm_lost")
    assert bench.loop.status()["state"] == "lost"
    sent = len(bench.arm.sent)
    bench.arm.state_ = "ok"
    bench.arm.told.append(("arm_back", "plugged in", {}))
    bench.hear("arm_back")
    wait_until(lambda: len(bench.arm.sent) > sent + 3)


@pytest.mark.parametrize("bench", [{"episode_ticks": LONG}], indirect=True)
def test_an_episode_with_a_picture_that_is_not_of_now_is_begun_anew(bench: Bench) -> None:
    recorder = bench.record()
    bench.loop.recording.start(1)
    wait_until(lambda: bench.recorder.recording)
    bench.arm.blind = {"front": "stale"}
    kinds: list[str] = []

    def ended() -> bool:
        kinds.extend(m.kind for m in recorder.receive() if not m.fields.get("save"))
        return "episode_end" in kinds

    wait_until(ended, what="the episode is discarded")


def test_at_the_end_it_returns_to_where_it_began_and_lets_go(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    bench.end()
    assert bench.arm.sent[-1] == pytest.approx([1.0, 2.0], abs=1e-2)
    assert bench.arm.released
    bench.hear("finished")


def test_asked_twice_it_leaves_out_the_way_back(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    bench.loop.soon(lambda: bench.loop.shutdown("once"))
    bench.loop.soon(lambda: bench.loop.shutdown("twice"))
    bench.thread.join(30)
    assert bench.arm.released
    assert bench.arm.sent[-1] != pytest.approx([1.0, 2.0], abs=1e-2)


def test_the_duration_ends_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, duration_s=0.2, park=False)
    bench.thread.join(30)
    assert bench.arm.released


def test_a_recording_that_is_over_ends_it_and_is_compared(tmp_path: Path) -> None:
    tally = ReplayTally(LAYOUT.action_names)
    bench = Bench(tmp_path, park=False, tally=tally)
    assert bench.loop.stats.driven == 0, "it waits for the policy"
    bench.loop.policy._active = object()  # type: ignore[assignment]
    bench.loop.policy.step = lambda tick: None  # type: ignore[method-assign]
    bench.loop.policy.to_json = dict  # type: ignore[method-assign]
    wait_until(lambda: bench.loop.stats.driven > 5)
    bench.arm.finished = True
    bench.thread.join(30)
    (episode,) = tally.to_json()
    assert episode["driven_ticks"] > 5
    assert set(episode["error_by_joint"]) == {"a.pos", "b.pos"}


def test_an_episode_goes_to_the_recorder_and_then_the_policy_drives(bench: Bench) -> None:
    recorder = bench.record()
    skipped = bench.loop.stats.skipped
    bench.loop.recording.start(1)
    kinds: list[str] = []

    def played() -> bool:
        for message in recorder.receive():
            kinds.append(message.kind)
            if message.kind == "frame":
                recorder.send("free", slot=message["slot"])
            elif message.kind == "episode_end":
                assert message["save"]
                recorder.send("saved", episode=1, episodes=1, frames=20)
        return "episode_end" in kinds

    wait_until(played, timeout_s=30)
    assert kinds[:2] == ["welcome", "episode_start"]
    skipped = bench.loop.stats.skipped - skipped
    assert kinds.count("frame") + skipped >= 15, "a tick that is skipped is a frame less"
    bench.hear("episode_saved")
    bench.hear("recording_done")
    assert bench.loop.driver.source is bench.loop.sources["policy"]
    assert bench.loop.status()["episodes"] == 1


def test_a_recorder_that_gives_nothing_back_costs_pictures_not_ticks(bench: Bench) -> None:
    recorder = bench.record()
    bench.loop.recording.start(1)
    wait_until(lambda: bench.recorder.repeated > 3)
    assert bench.loop.stats.ticks > 5
    recorder.close()
    bench.hear("recorder_lost")
    assert not bench.recorder.recording
