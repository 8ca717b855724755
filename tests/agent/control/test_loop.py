"""The control loop as its specification says; the arm is played, the rest is real."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.control.arm import Observation
from agent.control.episodes import EpisodeSchedule
from agent.control.guard import Guard
from agent.control.loop import ControlLoop
from agent.control.peers import Peers
from agent.control.policy_role import PolicyRole
from agent.control.recorder_role import RecorderRole
from agent.control.sources import Hold
from agent.control.stats import LoopStats
from agent.control.tally import ReplayTally
from agent.control.ticker import Ticker
from agent.control.timeline import Timeline
from agent.ipc import Channel, FrameBuffer, FrameLayout, connect
from robots.errors import ConfigError
from tests.helpers import wait_until

LAYOUT = FrameLayout(("a.pos", "b.pos"), ("a.pos", "b.pos"), ())
FPS = 100


class PlayedArm:
    """Goes at once where it is sent."""

    def __init__(self) -> None:
        self.layout = LAYOUT
        self.state = np.array([1.0, 2.0], np.float32)
        self.sent: list[list[float]] = []
        self.released = False
        self.finished = False
        self.lost = False

    def observe(self) -> Observation | None:
        return None if self.lost else Observation(self.state.copy(), {}, 0.0)

    def act(self, action: NDArray[np.float32]) -> bool:
        self.sent.append(action.tolist())
        self.state = action
        return True

    def is_lost(self) -> bool:
        return self.lost

    def reconnect(self) -> bool:
        self.lost = False
        return True

    def release(self) -> None:
        self.released = True

    def recorded(self) -> tuple[int, NDArray[np.float32]]:
        return 0, np.array([5.0, 5.0], np.float32)


class Leader:
    """Moves both joints a little every tick."""

    name = "teleop"

    def __init__(self) -> None:
        self.resets = 0
        self.value: float | None = 0.0

    def propose(self, tick: int, observation: Observation) -> NDArray[np.float32] | None:
        if self.value is None:
            return None
        self.value += 0.5
        return np.array([self.value, np.nan if self.value > 1e6 else self.value], np.float32)

    def reset(self) -> None:
        self.resets += 1


class Bench:
    """A loop in a thread and a subscriber on its socket."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.arm = PlayedArm()
        self.leader = Leader()
        stats = LoopStats(1 / FPS)
        timeline = Timeline()

        def emit(kind: str, cause: str, **data: Any) -> None:
            self.loop.emit(kind, cause, **data)

        policy = PolicyRole(
            buffer=FrameBuffer(folder / "o", LAYOUT, 2, create=True),
            timeline=timeline,
            stats=stats,
            emit=emit,
            welcome={"task": "t"},
            ask_below=0.5,
            deadline_s=60,
        )
        self.recorder = RecorderRole(
            buffer=FrameBuffer(folder / "r", LAYOUT, 4, create=True),
            emit=emit,
            welcome={},
            on_gone=lambda: self.loop.recorder_gone(),
        )
        low, high = np.full(2, -100, np.float32), np.full(2, 100, np.float32)
        given: dict[str, Any] = {"duration_s": 0.0, "park": True, "tally": None} | fields
        self.loop = ControlLoop(
            arm=self.arm,  # type: ignore[arg-type]
            guard=Guard(LAYOUT.action_names, low, high, max_step_percent=50),
            ticker=Ticker(FPS),
            stats=stats,
            sources={"hold": Hold(), "teleop": self.leader, "policy": Hold()},
            source="teleop",
            policy=policy,
            recorder=self.recorder,
            schedule=EpisodeSchedule(20, 5),
            task="t",
            **given,
        )
        self.events: list[dict[str, Any]] = []
        self._folder = folder
        self.peers = Peers(
            folder / "s", {"recorder": self.recorder, "supervisor": _Listening(self.loop)}
        )
        self.channel = connect(folder / "s")
        self.channel.send("hello", role="supervisor", subscribe=True)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        wait_until(lambda: self.loop.stats.ticks > 3)

    def _run(self) -> None:
        self.loop.run(self.peers)
        self.peers.close()

    def record(self) -> Channel:
        recorder = connect(self._folder / "s")
        recorder.send("hello", role="recorder", pid=1)
        recorder.send("ready", episodes=0, frames=0)
        wait_until(lambda: self.recorder.ready)
        return recorder

    def hear(self, kind: str) -> dict[str, Any]:
        def heard() -> dict[str, Any] | None:
            self.events += [m.fields for m in self.channel.receive() if m.kind == "event"]
            return next((e for e in self.events if e["event"] == kind), None)

        return wait_until(heard, timeout_s=30, what=kind)  # type: ignore[return-value]

    def end(self) -> None:
        self.loop.shutdown("the test is over")
        self.thread.join(30)
        assert not self.thread.is_alive()


class _Listening:
    def __init__(self, loop: ControlLoop) -> None:
        self._loop = loop

    def welcome(self, peer: Any) -> dict[str, Any]:
        return self._loop.status()

    def on_message(self, peer: Any, message: Any) -> None:
        """It only listens."""

    def on_lost(self, peer: Any) -> None:
        """It may go."""


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    bench = Bench(tmp_path)
    yield bench
    if bench.thread.is_alive():
        bench.end()


def test_what_the_source_proposes_is_sent(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    assert bench.arm.sent[5][0] > bench.arm.sent[2][0]


def test_a_stop_holds_until_it_is_cleared(bench: Bench) -> None:
    bench.loop.stop("a button")
    bench.hear("stopped")
    ticks = bench.loop.stats.ticks
    wait_until(lambda: bench.loop.stats.ticks > ticks + 5)
    held = bench.arm.sent[-1]
    wait_until(lambda: bench.loop.stats.ticks > ticks + 15)
    assert bench.arm.sent[-1] == held
    assert bench.loop.status()["state"] == "stopped"
    bench.loop.clear()
    bench.hear("cleared")
    wait_until(lambda: bench.arm.sent[-1] != held)


def test_a_source_that_has_nothing_starves_and_the_arm_holds(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 3)
    bench.leader.value = None
    wait_until(lambda: bench.loop.stats.starved > 3)
    assert bench.arm.sent[-1] == bench.arm.sent[-2]


def test_another_source_drops_what_was_planned(bench: Bench) -> None:
    bench.loop.set_source("hold")
    assert bench.leader.resets >= 1
    assert bench.loop.status()["source"] == "hold"
    with pytest.raises(ConfigError, match="no such source"):
        bench.loop.set_source("ghost")


def test_another_task_drops_what_was_planned(bench: Bench) -> None:
    bench.loop.set_task("stack")
    assert bench.leader.resets >= 1
    assert bench.loop.policy.task == "stack"


def test_a_rule_that_bites_is_counted_each_tick_and_told_once(bench: Bench) -> None:
    bench.leader.value = 500.0
    bench.hear("guard")
    wait_until(lambda: bench.loop.stats.trips["out of range"] > 20)
    bench.hear("guard")
    told = [e for e in bench.events if e["event"] == "guard" and e["cause"] == "out of range"]
    assert len(told) == 1
    assert max(max(action) for action in bench.arm.sent) <= 100


def test_an_arm_that_was_lost_comes_back(bench: Bench) -> None:
    bench.arm.lost = True
    bench.hear("arm_back")
    sent = len(bench.arm.sent)
    wait_until(lambda: len(bench.arm.sent) > sent + 3)


def test_at_the_end_it_returns_to_where_it_began_and_lets_go(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    bench.end()
    assert bench.arm.sent[-1] == pytest.approx([1.0, 2.0], abs=1e-2)
    assert bench.arm.released
    bench.hear("finished")


def test_asked_twice_it_leaves_out_the_way_back(bench: Bench) -> None:
    wait_until(lambda: bench.loop.stats.driven > 10)
    bench.loop.shutdown("once")
    bench.loop.shutdown("twice")
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
    bench.loop.schedule.start(1)
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
    assert kinds.count("frame") >= 15
    bench.hear("episode_saved")
    bench.hear("recording_done")
    assert bench.loop.source is bench.loop.sources["policy"]
    assert bench.loop.status()["episodes"] == 1


def test_a_recorder_that_gives_nothing_back_costs_frames_not_ticks(bench: Bench) -> None:
    recorder = bench.record()
    bench.loop.schedule.start(1)
    wait_until(lambda: bench.recorder.dropped > 3)
    assert bench.loop.stats.ticks > 5
    recorder.close()
    bench.hear("recorder_lost")
    assert not bench.recorder.recording
