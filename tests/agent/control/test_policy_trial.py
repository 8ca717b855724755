"""A worker whose model is on probation, as control has it: the one before is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.control.peers import Peer
from agent.ipc import Channel
from tests.agent.control.test_policy_role import Bench


class TrialBench(Bench):
    """One worker that serves and one on trial that has taken over."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.old_peer, self.old = self.ready(1)
        self.new_peer, self.new = self.on_trial(2)

    def on_trial(self, generation: int) -> tuple[Peer, Channel]:
        peer, worker = self.worker(generation)
        # Its hello says so; the bench's workers are welcomed before.
        self.role._workers[-1].trial = True
        worker.send("ready", digest=f"d{generation}", chunk_size=10)
        self.hear(peer)
        return peer, worker


@pytest.fixture
def bench(tmp_path: Path) -> TrialBench:
    return TrialBench(tmp_path)


def test_it_is_asked_and_the_one_before_is_not_retired(bench: TrialBench) -> None:
    bench.answer(bench.new_peer, bench.new, bench.ask(bench.new, 0))
    assert bench.old.wait(0.05) == []


def test_one_that_is_kept_retires_its_predecessor(bench: TrialBench) -> None:
    bench.role.end_trial(2, keep=True)
    assert [m.kind for m in bench.old.wait(5)] == ["retire"]
    bench.ask(bench.new, 0)


def test_one_that_is_given_up_has_no_action_taken_any_more(bench: TrialBench) -> None:
    bench.answer(bench.new_peer, bench.new, bench.ask(bench.new, 0))
    late = bench.ask(bench.new, 6)
    assert bench.timeline.remaining(7) > 0

    bench.role.end_trial(2, keep=False)

    assert bench.timeline.remaining(7) == 0, "what it planned is dropped"
    assert [m.kind for m in bench.new.wait(5)] == ["retire"]
    bench.answer(bench.new_peer, bench.new, late)
    assert bench.timeline.remaining(7) == 0, "and what it was asked for as well"
    request = bench.ask(bench.old, 7)
    bench.answer(bench.old_peer, bench.old, request, value=3.0)
    planned = bench.timeline.look(8)
    assert planned is not None
    assert (planned.generation, planned.digest) == (1, "d1")


def test_without_a_predecessor_the_arm_holds_until_one_is_ready(bench: TrialBench) -> None:
    bench.role.on_lost(bench.old_peer)
    bench.role.end_trial(2, keep=False)
    assert not bench.role.ready
    _, third = bench.ready(3)
    bench.ask(third, 0)


def test_a_trial_that_nobody_is_in_ends_without_effect(bench: TrialBench) -> None:
    bench.role.end_trial(7, keep=False)
    assert bench.new.wait(0.02) == []
    bench.ask(bench.new, 0)


def test_a_hello_says_that_a_worker_is_on_trial(bench: TrialBench) -> None:
    peer, _ = bench.worker(3)
    bench.role.on_lost(peer)
    peer.hello["trial"] = True
    bench.role.welcome(peer)
    assert bench.role._workers[-1].trial
