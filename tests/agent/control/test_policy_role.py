"""Control and its policy workers: real sockets, the worker's side played by hand."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.control.arm import Observation
from agent.control.asking import Asking
from agent.control.chunk_stats import ChunkStats
from agent.control.peers import Peer
from agent.control.policy_role import SLOTS, PolicyRole
from agent.control.sources import PolicySource
from agent.control.timeline import Timeline
from agent.ipc import Channel, FrameBuffer, FrameLayout
from tests.helpers import wait_until

LAYOUT = FrameLayout(("a.pos",), ("a.pos",), ())
STATE = np.zeros(1, np.float32)


class Bench:
    """A PolicyRole with workers at the other end of socket pairs."""

    def __init__(self, folder: Path, deadline_s: float = 60.0, *, continues: bool = False) -> None:
        self.timeline = Timeline()
        self.stats = ChunkStats()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.buffer = FrameBuffer(folder / "f", LAYOUT, SLOTS, create=True)
        self.role = PolicyRole(
            buffer=self.buffer,
            timeline=self.timeline,
            stats=self.stats,
            emit=lambda kind, cause, **data: self.events.append((kind, data)),
            welcome={"task": "t"},
            asking=Asking(0.1),
            deadline_s=deadline_s,
            continues=continues,
        )

    def worker(self, generation: int, kind: str = "local") -> tuple[Peer, Channel]:
        ours, theirs = socket.socketpair()
        hello = {"generation": generation, "remote": kind == "remote"}
        peer = Peer(Channel(ours), role="policy", hello=hello)
        self.role.welcome(peer)
        return peer, Channel(theirs)

    def hear(self, peer: Peer) -> None:
        for message in peer.channel.wait(5):
            self.role.on_message(peer, message)

    def ready(self, generation: int, kind: str = "local") -> tuple[Peer, Channel]:
        peer, worker = self.worker(generation, kind)
        worker.send("ready", digest=f"d{generation}", chunk_size=10)
        self.hear(peer)
        return peer, worker

    def ask(self, worker: Channel, tick: int) -> int:
        self.role.step(tick)
        self.role.offer(tick, STATE, {})
        (message,) = worker.wait(5)
        assert message.kind == "observe"
        assert message["tick"] == tick
        return int(message["request"])

    def answer(self, peer: Peer, worker: Channel, request: int, value: float = 1.0) -> None:
        payload = np.full((10, 1), value, np.float32).tobytes()
        worker.send("chunk", payload, request=request, shape=[10, 1])
        self.hear(peer)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nobody_is_asked_before_it_is_ready(bench: Bench) -> None:
    _, worker = bench.worker(1)
    bench.role.step(0)
    bench.role.offer(0, STATE, {})
    assert worker.wait(0.05) == []
    assert not bench.role.ready


def test_a_chunk_lands_on_the_ticks_after_its_observation(bench: Bench) -> None:
    peer, worker = bench.ready(1)
    request = bench.ask(worker, 5)
    bench.role.step(8)
    bench.answer(peer, worker, request)
    assert bench.timeline.remaining(8) == 7


def test_one_request_at_a_time_and_the_next_when_half_is_left(bench: Bench) -> None:
    peer, worker = bench.ready(1)
    request = bench.ask(worker, 0)
    bench.role.offer(1, STATE, {})
    assert worker.wait(0.05) == [], "one is in flight"
    bench.answer(peer, worker, request)
    bench.role.offer(2, STATE, {})
    assert worker.wait(0.05) == [], "more than half is left"
    bench.ask(worker, 6)


def test_what_was_asked_before_a_reset_is_never_acted_on(bench: Bench) -> None:
    peer, worker = bench.ready(1)
    request = bench.ask(worker, 0)
    bench.role.reset()
    bench.answer(peer, worker, request)
    assert bench.timeline.look(1) is None
    assert bench.stats.stale == 1
    bench.ask(worker, 1)


def test_an_error_ends_the_request_and_the_next_may_go(bench: Bench) -> None:
    peer, worker = bench.ready(1)
    request = bench.ask(worker, 0)
    (kept,) = bench.role._workers
    before = time.monotonic()
    worker.send("error", request=request, message="CUDA out of memory")
    bench.hear(peer)
    assert "policy_error" in bench.kinds()
    assert kept.not_before > before, "not at once: it may fail every time"
    kept.not_before = time.monotonic() + 60.0
    bench.role.offer(1, STATE, {})
    assert worker.wait(0.02) == []
    kept.not_before = 0.0
    bench.ask(worker, 2)


def test_a_worker_that_dies_leaves_what_is_planned(bench: Bench) -> None:
    peer, worker = bench.ready(1)
    bench.answer(peer, worker, bench.ask(worker, 0))
    bench.role.on_lost(peer)
    assert bench.timeline.remaining(1) == 9
    assert bench.kinds()[-1] == "policy_lost"
    bench.ready(2)
    assert bench.role.to_json()["generation"] == 2


def test_a_worker_past_its_deadline_is_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, deadline_s=0.01)
    peer, worker = bench.ready(1)
    bench.ask(worker, 0)
    time.sleep(0.02)
    bench.role.step(1)
    assert bench.kinds()[-1] == "policy_hung"
    assert peer.channel.closed


def test_a_swap_waits_for_the_chunk_in_flight_and_retires_the_old(bench: Bench) -> None:
    old, old_end = bench.ready(1)
    request = bench.ask(old_end, 0)
    _, new_end = bench.ready(2)
    assert bench.role.to_json()["generation"] == 1, "a chunk is in flight"
    bench.answer(old, old_end, request, value=1.0)
    bench.role.step(1)
    assert bench.role.to_json() == {"generation": 2, "digest": "d2", "inference": "local"}
    assert [m.kind for m in old_end.wait(5)] == ["retire"]
    bench.ask(new_end, 6)


def test_a_late_answer_of_a_retired_worker_is_dropped(bench: Bench) -> None:
    old, old_end = bench.ready(1)
    request = bench.ask(old_end, 0)
    bench.answer(old, old_end, request)
    bench.ready(2)
    bench.role.step(1)
    bench.answer(old, old_end, request, value=99.0)
    planned = bench.timeline.take(1)
    assert planned is not None
    assert planned.action[0] == 1.0


def test_a_remote_policy_is_asked_while_its_link_is_up_and_the_local_one_else(
    bench: Bench,
) -> None:
    remote, remote_end = bench.ready(1, "remote")
    _, local_end = bench.ready(2)
    request = bench.ask(remote_end, 0)
    remote_end.send("link", up=False, cause="the server does not answer")
    remote_end.send("error", request=request, message="no answer")
    wait_until(lambda: bench.hear(remote) or not bench.role._workers[0].up, what="it hears")
    bench.role.step(1)
    assert bench.role.to_json()["inference"] == "local"
    bench.ask(local_end, 1)
    remote_end.send("link", up=True)
    bench.hear(remote)
    bench.role.step(2)
    assert bench.role.to_json()["inference"] == "local", "a chunk is in flight"
    bench.role._workers[1].answered()
    bench.role.step(3)
    assert bench.role.to_json()["inference"] == "remote"
    assert local_end.wait(0.02) == [], "the local one stays, for the next time"


def test_a_new_generation_retires_its_own_kind_only(bench: Bench) -> None:
    _, remote_end = bench.ready(1, "remote")
    _, old_end = bench.ready(2)
    bench.ready(3)
    bench.role.step(0)
    assert [m.kind for m in old_end.wait(5)] == ["retire"]
    assert remote_end.wait(0.02) == []


def test_each_action_carries_where_it_came_from(bench: Bench) -> None:
    peer, worker = bench.ready(1)
    request = bench.ask(worker, 5)
    bench.answer(peer, worker, request)
    planned = bench.timeline.take(7)
    assert planned is not None
    assert planned.origin() == {
        "observed": 5,
        "first": 5,
        "generation": 1,
        "request": request,
        "epoch": 0,
        "digest": "d1",
    }


def test_a_server_that_changed_its_model_says_so_with_the_chunk(bench: Bench) -> None:
    peer, worker = bench.ready(1, "remote")
    request = bench.ask(worker, 0)
    payload = np.ones((10, 1), np.float32).tobytes()
    worker.send("chunk", payload, request=request, shape=[10, 1], digest="d9")
    bench.hear(peer)
    assert bench.timeline.look(1).digest == "d9"  # type: ignore[union-attr]
    assert bench.events[-1] == (
        "policy_switched",
        {"generation": 1, "digest": "d9", "before": "d1"},
    )


def test_the_plan_goes_along_when_chunks_are_to_continue_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, continues=True)
    peer, worker = bench.ready(1)
    bench.answer(peer, worker, bench.ask(worker, 0))
    bench.role.step(6)
    bench.role.offer(6, STATE, {})
    (message,) = worker.wait(5)
    assert message["plan"] == [4, 1]
    assert np.frombuffer(message.payload, np.float32).tolist() == [1.0] * 4
    assert 1 <= message["frozen"] <= 4, "what the last chunk took, in ticks"


def test_a_policy_that_looks_back_is_shown_the_ticks_before(bench: Bench) -> None:
    peer, worker = bench.worker(1)
    worker.send("ready", digest="d", chunk_size=10, looks_back=3)
    bench.hear(peer)
    for tick in range(3):
        bench.role.offer(tick, np.full(1, tick, np.float32), {})
    (first,) = worker.wait(5)
    assert first["past"] == [], "nothing was seen before"
    bench.answer(peer, worker, first["request"])
    for tick in range(3, 7):
        bench.role.step(tick)
        bench.role.offer(tick, np.full(1, tick, np.float32), {})
    (message,) = worker.wait(5)
    shown = [float(bench.buffer[s].state[0]) for s in (*message["past"], message["slot"])]
    assert shown == [message["tick"] - 2, message["tick"] - 1, message["tick"]]
    bench.role.reset()
    bench.answer(peer, worker, message["request"])
    bench.role.offer(9, np.full(1, 9, np.float32), {})
    (message,) = worker.wait(5)
    assert message["past"] == [], "what was before a reset is not its past"


def step(source: PolicySource, tick: int, seen: Observation) -> Any:
    """A tick of the loop: propose, act, look."""
    proposal = source.propose(tick, seen)
    source.acted(tick, seen)
    return proposal


def test_a_policy_slower_than_its_chunk_is_followed_in_bursts(bench: Bench) -> None:
    """The arm held for want of a plan: nothing of the chunk has passed meanwhile."""
    source = PolicySource(bench.timeline, bench.role, bench.stats.seams)
    peer, worker = bench.ready(1)
    seen = Observation(STATE, {}, 0.0)
    assert step(source, 0, seen) is None
    (message,) = worker.wait(5)
    for tick in range(1, 30):
        bench.role.step(tick)
        assert step(source, tick, seen) is None
    payload = np.arange(10, dtype=np.float32).tobytes()
    worker.send("chunk", payload, request=message["request"], shape=[10, 1])
    bench.role.step(30)
    bench.hear(peer)
    assert step(source, 30, seen) == [0.0]
    assert step(source, 31, seen) == [1.0]
    assert source.taken is not None
    assert (source.taken.observed, source.taken.first) == (0, 30)


def test_a_recording_goes_on_while_nothing_is_planned(bench: Bench) -> None:
    """It is no arm that holds: a chunk is compared with what was recorded at its own ticks."""
    source = PolicySource(bench.timeline, bench.role, bench.stats.seams, played=True)
    peer, worker = bench.ready(1)
    seen = Observation(STATE, {}, 0.0)
    assert step(source, 0, seen) is None
    (message,) = worker.wait(5)
    for tick in range(1, 4):
        bench.role.step(tick)
        assert step(source, tick, seen) is None
    payload = np.arange(10, dtype=np.float32).tobytes()
    worker.send("chunk", payload, request=message["request"], shape=[10, 1])
    bench.hear(peer)
    bench.role.step(4)
    assert step(source, 4, seen) == [4.0]


def test_what_was_seen_long_ago_is_not_the_ticks_before(bench: Bench) -> None:
    """A worker died and another came, or a picture was not to be shown for a while."""
    peer, worker = bench.worker(1)
    worker.send("ready", digest="d", chunk_size=10, looks_back=3)
    bench.hear(peer)
    for tick in range(3):
        bench.role.offer(tick, np.full(1, tick, np.float32), {})
    bench.role.on_lost(peer)
    bench.role.offer(3, STATE, {})
    peer, worker = bench.worker(1)
    worker.send("ready", digest="d", chunk_size=10, looks_back=3)
    bench.hear(peer)
    bench.role.offer(4, np.full(1, 4, np.float32), {})
    (message,) = worker.wait(5)
    assert [float(bench.buffer[s].state[0]) for s in message["past"]] == [2.0]
    bench.answer(peer, worker, message["request"])
    bench.role.offer(40, np.full(1, 40, np.float32), {})
    (message,) = worker.wait(5)
    assert message["past"] == []


def test_an_error_of_another_request_leaves_the_one_in_flight(bench: Bench) -> None:
    """What it looks at must stay as it is until its own answer."""
    peer, worker = bench.ready(1)
    request = bench.ask(worker, 0)
    worker.send("error", request=request - 1, message="late")
    bench.hear(peer)
    assert bench.kinds()[-1] == "policy_error"
    bench.role.offer(1, STATE, {})
    assert worker.wait(0.05) == []
    bench.answer(peer, worker, request)
    assert bench.stats.chunks == 1


def test_a_chunk_of_which_nothing_is_left_for_the_next_tick_is_stale(bench: Bench) -> None:
    """What comes during tick 10 is heard before it and acted on in it; the last action was 9's."""
    peer, worker = bench.ready(1)
    request = bench.ask(worker, 0)
    bench.role.step(9)
    bench.answer(peer, worker, request)
    assert bench.stats.stale == 1
    assert bench.timeline.first is None


def test_a_server_that_is_silent_is_not_waited_for_where_there_is_a_local_policy(
    bench: Bench,
) -> None:
    remote, remote_end = bench.ready(1, "remote")
    request = bench.ask(remote_end, 0)
    (kept,) = bench.role._workers
    kept.patience_s = 0.0
    bench.role.step(1)
    assert bench.role.to_json()["inference"] == "remote", "there is nobody else"
    local, local_end = bench.ready(2)
    assert bench.role.to_json()["inference"] == "local"
    bench.answer(local, local_end, bench.ask(local_end, 2), value=2.0)
    bench.answer(remote, remote_end, request, value=99.0)
    assert bench.timeline.look(5).action[0] == 2.0  # type: ignore[union-attr]
    bench.role.step(3)
    assert bench.role.to_json()["inference"] == "remote", "it is tried again"


def test_a_server_whose_new_model_has_longer_chunks_is_asked_less_often(bench: Bench) -> None:
    remote, remote_end = bench.ready(1, "remote")
    (kept,) = bench.role._workers
    before = kept.patience_s
    remote_end.send("ready", digest="other", chunk_size=20)
    bench.hear(remote)
    request = bench.ask(remote_end, 0)
    payload = np.ones((20, 1), np.float32).tobytes()
    remote_end.send("chunk", payload, request=request, shape=[20, 1], digest="other")
    bench.hear(remote)

    assert bench.role.to_json()["digest"] == "other"
    assert kept.patience_s == 2 * before
    bench.role.offer(6, STATE, {})
    assert remote_end.wait(0.05) == [], "more than half is left"
    bench.ask(remote_end, 10)
