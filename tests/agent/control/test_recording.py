"""What begins and ends episodes, and what is marked; the recorder is played, the rest is real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.control.episodes import Trigger
from agent.ipc import Channel
from robots.errors import ConfigError
from tests.agent.control.bench import Bench
from tests.helpers import wait_until

INTERVENTION, FAULT = 1, 2
"""Marks of a frame, as they travel: their sum."""

LONG = 100_000
"""Ticks: no episode ends by itself."""


class Tape:
    """What a recorder is told; it gives every slot back."""

    def __init__(self, bench: Bench) -> None:
        self._channel: Channel = bench.record()
        self.begun: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []
        self.frames: list[int] = []
        self.said: list[tuple[str, int]] = []

    def hear(self, what: Callable[[], object]) -> None:
        def heard() -> object:
            for message in self._channel.receive():
                if message.kind == "frame":
                    self.frames.append(message["marks"])
                    if "slot" in message.fields:
                        self._channel.send("free", slot=message["slot"])
                elif message.kind == "episode_start":
                    self.begun.append(message.fields)
                elif message.kind == "episode_end":
                    self.ended.append(message.fields)
                elif message.kind in ("episode_drop", "episode_mark"):
                    self.said.append((message.kind, message["episode"]))
            return what()

        wait_until(heard, timeout_s=30)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def build(**fields: Any) -> Bench:
        benches.append(Bench(tmp_path, **fields))
        return benches[-1]

    yield build
    for bench in benches:
        bench.end()


def test_by_order_an_episode_begins_with_what_was_before_it(make: Callable[..., Bench]) -> None:
    bench = make(trigger=Trigger.OPERATOR, before_s=3.0, episode_ticks=LONG)
    tape = Tape(bench)
    bench.order(lambda: bench.loop.recording.start(1))
    tape.hear(lambda: len(tape.frames) > 3)
    assert tape.begun[0]["before_s"] == 3.0
    with pytest.raises(ConfigError, match="already"):
        bench.order(lambda: bench.loop.recording.start(1))
    bench.order(bench.loop.recording.finish)
    tape.hear(lambda: tape.ended)
    assert tape.ended[0]["save"]
    marks = tape.ended[0]["marks"]
    assert (marks["success"], marks["fault"], marks["trigger"]) == (None, "", "operator")


def test_the_last_seconds_become_an_episode_by_themselves(make: Callable[..., Bench]) -> None:
    bench = make(before_s=3.0)
    tape = Tape(bench)
    bench.order(lambda: bench.loop.recording.save_last("t", 2.0))
    tape.hear(lambda: tape.ended)
    assert tape.begun[0]["before_s"] == 2.0
    assert tape.ended[0]["save"]
    with pytest.raises(ConfigError, match="at most 3"):
        bench.order(lambda: bench.loop.recording.save_last("t", 4.0))


def test_dropped_in_a_pause_the_last_seconds_are_none_of_those_that_were_asked_for(
    make: Callable[..., Bench],
) -> None:
    bench = make(before_s=3.0, episode_ticks=3, reset_ticks=LONG)
    tape = Tape(bench)
    recording = bench.loop.recording
    bench.order(lambda: recording.start(3))
    tape.hear(lambda: tape.ended)
    left = recording.schedule.left
    bench.order(lambda: recording.save_last("t", 2.0))
    bench.order(recording.discard)
    tape.hear(lambda: tape.said)
    assert recording.schedule.left == left


def test_without_a_pre_trigger_there_are_no_last_seconds(make: Callable[..., Bench]) -> None:
    bench = make()
    Tape(bench)
    with pytest.raises(ConfigError, match="pre_trigger_s"):
        bench.order(lambda: bench.loop.recording.save_last("t"))


def test_an_episode_ends_when_the_robot_says_that_the_task_is_done(
    make: Callable[..., Bench],
) -> None:
    bench = make(trigger=Trigger.SUCCESS, episode_ticks=LONG)
    tape = Tape(bench)
    bench.arm.done = False
    bench.order(lambda: bench.loop.recording.start(2))
    tape.hear(lambda: len(tape.frames) > 2)
    bench.arm.done = True
    tape.hear(lambda: tape.ended)
    assert tape.ended[0]["marks"]["success"] is True
    tape.hear(lambda: len(tape.begun) == 2)
    frames = len(tape.frames)
    tape.hear(lambda: len(tape.frames) > frames + 20)
    assert len(tape.ended) == 1, "what is done at the beginning doesn't end it"


def test_an_operator_s_mark_ends_it_too_and_counts_for_more(make: Callable[..., Bench]) -> None:
    bench = make(trigger=Trigger.SUCCESS, episode_ticks=LONG)
    tape = Tape(bench)
    bench.arm.done = False
    with pytest.raises(ConfigError, match="no episode"):
        bench.order(lambda: bench.loop.recording.mark(success=True))
    bench.order(lambda: bench.loop.recording.start(1))
    tape.hear(lambda: len(tape.frames) > 2)
    bench.order(lambda: bench.loop.recording.mark(success=True))
    tape.hear(lambda: tape.ended)
    assert tape.ended[0]["marks"]["success"] is True


def test_always_a_stop_ends_an_episode_that_is_kept_and_marked(make: Callable[..., Bench]) -> None:
    bench = make(trigger=Trigger.ALWAYS)
    tape = Tape(bench)
    tape.hear(lambda: len(tape.begun) > 1)
    bench.order(lambda: bench.loop.stop("a button"))
    tape.hear(lambda: len(tape.ended) == len(tape.begun))
    assert tape.ended[-1]["save"]
    assert [e["marks"]["fault"] for e in tape.ended[-2:]] == ["", "a button"]
    ticks, begun = bench.loop.stats.ticks, len(tape.begun)
    tape.hear(lambda: bench.loop.stats.ticks > ticks + 30)
    assert len(tape.begun) == begun, "nothing is begun while the arm is stopped"
    bench.order(bench.loop.clear)
    tape.hear(lambda: len(tape.begun) > begun)


def test_frames_say_that_the_guard_changed_their_action(make: Callable[..., Bench]) -> None:
    bench = make(trigger=Trigger.OPERATOR, episode_ticks=LONG)
    tape = Tape(bench)
    bench.order(lambda: bench.loop.recording.start(1))
    tape.hear(lambda: len(tape.frames) > 3)
    assert tape.frames[2] == 0
    bench.leader.value = 500.0
    tape.hear(lambda: FAULT in tape.frames)
    bench.order(bench.loop.recording.finish)
    tape.hear(lambda: tape.ended)
    marks = tape.ended[0]["marks"]
    assert marks["guard"]["out of range"] >= 1
    assert 1 <= marks["fault_frames"] < len(tape.frames)
    assert marks["fault"] == "", "which is no fault of the whole"


def test_a_discarded_episode_is_not_saved_and_comes_again(make: Callable[..., Bench]) -> None:
    bench = make(episode_ticks=LONG)
    tape = Tape(bench)
    bench.order(lambda: bench.loop.recording.start(1))
    tape.hear(lambda: len(tape.frames) > 2)
    bench.order(bench.loop.recording.discard)
    tape.hear(lambda: len(tape.begun) == 2)
    assert not tape.ended[0]["save"]
    bench.order(bench.loop.recording.finish)
    tape.hear(lambda: len(tape.ended) == 2)
    assert tape.ended[1]["save"]


def test_in_the_pause_the_last_episode_may_be_marked_and_recorded_again(
    make: Callable[..., Bench],
) -> None:
    bench = make(episode_ticks=20, reset_ticks=LONG)
    tape = Tape(bench)
    recording = bench.loop.recording
    bench.order(lambda: recording.start(1))
    tape.hear(lambda: tape.ended)
    bench.order(lambda: recording.mark(success=False))
    bench.order(recording.discard)
    tape.hear(lambda: tape.said == [("episode_mark", 1), ("episode_drop", 1)])
    assert recording.schedule.left == 1
    for order in (recording.discard, lambda: recording.mark(success=True)):
        with pytest.raises(ConfigError, match="no episode"):
            bench.order(order)
    bench.order(recording.finish)
    tape.hear(lambda: len(tape.ended) == 2)
    assert recording.schedule.left == 0


def test_a_dropped_one_is_not_followed_by_the_one_before_it(make: Callable[..., Bench]) -> None:
    bench = make(episode_ticks=LONG, reset_ticks=LONG)
    tape = Tape(bench)
    recording = bench.loop.recording
    bench.order(lambda: recording.start(2))
    tape.hear(lambda: tape.begun)
    bench.order(recording.finish)
    tape.hear(lambda: tape.ended)
    bench.order(recording.finish)
    tape.hear(lambda: len(tape.begun) == 2)
    bench.order(recording.discard)
    tape.hear(lambda: len(tape.ended) == 2)
    with pytest.raises(ConfigError, match="no episode"):
        bench.order(recording.discard)
    assert not tape.said


def test_what_a_lost_recorder_saved_is_not_the_next_one_s_to_drop(
    make: Callable[..., Bench],
) -> None:
    bench = make(episode_ticks=20, reset_ticks=LONG)
    tape = Tape(bench)
    bench.order(lambda: bench.loop.recording.start(1))
    tape.hear(lambda: tape.ended)
    bench.lose_recorder()
    bench.hear("recorder_lost")
    with pytest.raises(ConfigError, match="no episode"):
        bench.order(bench.loop.recording.discard)
