"""When a policy worker is asked anew, and what is expected of one that was never asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.control.peers import Peer
from agent.ipc import Channel
from tests.agent.control.test_policy_role import STATE, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, continues=True)


def warm(bench: Bench, generation: int, kind: str = "local") -> tuple[Peer, Channel]:
    """A worker that says what a chunk takes: two and a half ticks."""
    peer, worker = bench.worker(generation, kind)
    worker.send("ready", digest=f"d{generation}", chunk_size=10, chunk_s=0.25)
    bench.hear(peer)
    return peer, worker


def frozen(bench: Bench, worker: Channel, tick: int) -> int:
    """How much of the plan a worker is told to take for carried out."""
    bench.role.step(tick)
    bench.role.offer(tick, STATE, {})
    (message,) = worker.wait(5)
    return int(message["frozen"])


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_a_worker_that_takes_over_continues_the_plan_by_what_it_says_a_chunk_takes(
    bench: Bench, kind: str
) -> None:
    peer, worker = bench.ready(1, kind)
    bench.answer(peer, worker, bench.ask(worker, 0))
    _, newer = warm(bench, 2, kind)
    assert frozen(bench, newer, 6) == 3


def test_so_does_a_fallback_that_was_never_asked(bench: Bench) -> None:
    _, local = warm(bench, 1)
    peer, remote = bench.ready(0, "remote")
    bench.answer(peer, remote, bench.ask(remote, 0))
    remote.send("link", up=False, cause="the server does not answer")
    bench.hear(peer)
    assert frozen(bench, local, 6) == 3


def test_a_server_is_asked_anew_after_a_reset(bench: Bench) -> None:
    """Its answer to what nobody wants any more may take seconds."""
    peer, worker = bench.ready(1, "remote")
    outdated = bench.ask(worker, 0)
    bench.role.offer(1, STATE, {})
    assert worker.wait(0.05) == [], "one is in flight"
    bench.role.reset()
    request = bench.ask(worker, 2)
    bench.role.offer(3, STATE, {})
    assert worker.wait(0.05) == [], "one is in flight again"

    bench.answer(peer, worker, outdated, value=99.0)
    assert bench.timeline.first is None
    bench.answer(peer, worker, request)
    planned = bench.timeline.look(3)
    assert planned is not None
    assert (planned.request, planned.action[0]) == (request, 1.0)


def test_a_local_policy_computes_and_is_asked_when_it_is_done(bench: Bench) -> None:
    peer, worker = bench.ready(1)
    outdated = bench.ask(worker, 0)
    bench.role.reset()
    bench.role.offer(1, STATE, {})
    assert worker.wait(0.05) == []
    bench.answer(peer, worker, outdated)
    bench.ask(worker, 2)


def test_the_end_of_a_question_that_was_replaced_is_no_failure(bench: Bench) -> None:
    peer, worker = bench.ready(1, "remote")
    outdated = bench.ask(worker, 0)
    bench.role.reset()
    request = bench.ask(worker, 1)
    worker.send("error", request=outdated, message="a newer question of this session came")
    bench.hear(peer)
    assert "policy_error" not in bench.kinds()
    bench.answer(peer, worker, request)
    assert bench.stats.chunks == 1


def test_resets_give_a_worker_that_hangs_no_more_time(bench: Bench) -> None:
    peer, worker = bench.ready(1, "remote")
    bench.ask(worker, 0)
    (kept,) = bench.role._workers
    assert kept.request is not None
    kept.request.silent_since -= 50
    bench.role.reset()
    bench.ask(worker, 1)
    kept.request.silent_since -= 50
    bench.role.step(2)
    assert bench.kinds()[-1] == "policy_hung"
    assert peer.channel.closed


def test_one_that_answers_an_outdated_question_does_not_hang(bench: Bench) -> None:
    peer, worker = bench.ready(1, "remote")
    outdated = bench.ask(worker, 0)
    (kept,) = bench.role._workers
    assert kept.request is not None
    kept.request.silent_since -= 50
    bench.role.reset()
    request = bench.ask(worker, 1)
    bench.answer(peer, worker, outdated)
    kept.request.silent_since -= 50
    bench.role.step(2)
    assert "policy_hung" not in bench.kinds()
    bench.answer(peer, worker, request)
    assert bench.stats.chunks == 1


def test_a_server_that_is_too_busy_is_asked_again_when_it_said(bench: Bench) -> None:
    peer, worker = bench.ready(1, "remote")
    (kept,) = bench.role._workers
    for tick in range(3):
        request = bench.ask(worker, tick)
        worker.send("error", request=request, message="too busy", again_s=0.0)
        bench.hear(peer)
    assert bench.kinds().count("policy_error") == 1, "it is told once"
    request = bench.ask(worker, 3)
    worker.send("error", request=request, message="too busy", again_s=1000.0)
    bench.hear(peer)
    assert not kept.may_be_asked(bench.role.epoch)
    kept.not_before = 0.0
    bench.answer(peer, worker, bench.ask(worker, 4))
    request = bench.ask(worker, 10)
    worker.send("error", request=request, message="too busy", again_s=0.0)
    bench.hear(peer)
    assert bench.kinds().count("policy_error") == 2, "and once more after a chunk"
