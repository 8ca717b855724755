"""Many robots, one model: the real one, with a queue that is filled before it is worked off."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.policy.engines.config import EngineConfig
from agent.policy.predict import Ask
from robots.errors import ModelError
from server.policy.batcher import (
    Batcher,
    ExpiredError,
    Job,
    Result,
    ShedError,
    SupersededError,
)
from server.policy.config import PolicyServerConfig
from server.policy.model import Model, load_model
from server.policy.pace import Pace
from tests.datasets import CAMERA, TASK
from tests.helpers import wait_until
from tests.server.policy.conftest import policy_of, sight

WAIT_S = 60.0
FEATURE = f"observation.images.{CAMERA}"


def ask(number: int, **fields: Any) -> Ask:
    state, images = sight(number)
    return Ask(
        **{
            "state": state,
            "images": {FEATURE: images[CAMERA]},
            "task": TASK,
            "seed": number,
            **fields,
        }
    )


@dataclass
class Outcome:
    """What became of a question, once."""

    got: queue.Queue[Result | Exception]

    def result(self) -> Result:
        outcome = self.got.get(timeout=WAIT_S)
        assert isinstance(outcome, Result), outcome
        return outcome

    def error(self) -> Exception:
        outcome = self.got.get(timeout=WAIT_S)
        assert isinstance(outcome, Exception)
        return outcome


def put(
    batcher: Batcher, session: str, question: Ask, *, left_s: float = WAIT_S
) -> tuple[Job, Outcome]:
    got: queue.Queue[Result | Exception] = queue.Queue()
    job = Job(session=session, ask=question, deadline=time.monotonic() + left_s, done=got.put)
    batcher.put(job)
    return job, Outcome(got)


@pytest.fixture
def batcher(model: Model) -> Iterator[Batcher]:
    batcher = Batcher(model, max_batch=4)
    yield batcher
    if batcher.alive:
        batcher.end(WAIT_S)


def test_robots_share_a_pass_and_each_gets_its_own_chunk(batcher: Batcher, model: Model) -> None:
    outcomes = [put(batcher, f"s{n}", ask(n))[1] for n in range(3)]
    batcher.start()

    results = [outcome.result() for outcome in outcomes]
    batcher.end(WAIT_S)
    for n, result in enumerate(results):
        assert result.batch == 3
        assert result.digest == model.digest
        (alone,) = model.predict([ask(n)], [None])
        assert np.allclose(result.answer.chunk, alone.chunk, atol=1e-3)


def test_the_first_come_are_served_first_and_no_pass_is_larger_than_allowed(
    batcher: Batcher,
) -> None:
    outcomes = [put(batcher, f"s{n}", ask(n))[1] for n in range(6)]
    batcher.start()

    assert [outcome.result().batch for outcome in outcomes] == [4, 4, 4, 4, 2, 2]


def test_robots_that_would_change_each_others_chunks_share_no_pass(tiny_policy: Path) -> None:
    """Pictures of another robot are no reason for another chunk: here, in 8 bits."""
    eight_bits = load_model(
        PolicyServerConfig(
            policy=policy_of(tiny_policy), inference=EngineConfig(precision="8bit"), device="cpu"
        )
    )
    batcher = Batcher(eight_bits, max_batch=4)
    outcomes = [put(batcher, f"s{n}", ask(n))[1] for n in range(3)]
    batcher.start()
    results = [outcome.result() for outcome in outcomes]
    batcher.end(WAIT_S)

    assert [result.batch for result in results] == [1, 1, 1]
    for n, result in enumerate(results):
        (alone,) = eight_bits.predict([ask(n)], [None])
        assert np.array_equal(result.answer.chunk, alone.chunk)


def test_a_newer_question_takes_the_place_of_the_older(batcher: Batcher, model: Model) -> None:
    _, older = put(batcher, "first", ask(1))
    for n in range(5):
        put(batcher, f"s{n}", ask(9))
    _, newer = put(batcher, "first", ask(2))
    batcher.start()

    assert isinstance(older.error(), SupersededError)
    result = newer.result()
    assert result.batch == 4
    batcher.end(WAIT_S)
    (alone,) = model.predict([ask(2)], [None])
    assert np.allclose(result.answer.chunk, alone.chunk, atol=1e-3)


def test_what_nobody_waits_for_is_not_computed(batcher: Batcher) -> None:
    _, late = put(batcher, "late", ask(1), left_s=0.0)
    gone, nothing = put(batcher, "gone", ask(2))
    batcher.withdraw(gone)
    _, waits = put(batcher, "waits", ask(3))
    batcher.start()

    assert isinstance(late.error(), ExpiredError)
    assert waits.result().batch == 1
    assert nothing.got.empty()


def test_what_can_not_be_answered_in_time_is_told_so_and_when_to_come_back(model: Model) -> None:
    slow = Batcher(replace(model, pass_s=10.0), max_batch=1)
    put(slow, "first", ask(1))

    with pytest.raises(ShedError) as shed:
        put(slow, "second", ask(2), left_s=15.0)
    # And what passed between the two.
    assert 4.0 < shed.value.retry_after_s < 15.0
    put(slow, "second", ask(2), left_s=25.0)


def test_an_idle_model_tries_whatever_comes(model: Model) -> None:
    """Else one slow pass would end all others: no estimate would ever become better."""
    slow = Batcher(replace(model, pass_s=1e6), max_batch=1)
    _, outcome = put(slow, "only", ask(1))
    slow.start()

    assert outcome.result().batch == 1
    slow.end(WAIT_S)


def test_a_pass_takes_no_more_robots_than_the_first_of_them_can_wait_for(model: Model) -> None:
    batcher = Batcher(replace(model, pass_s=10.0), max_batch=4)
    outcomes = [put(batcher, f"s{n}", ask(n), left_s=25.0 + 20 * n)[1] for n in range(3)]
    batcher.start()

    # Three would take 30 s by what is known, and the first has 25.
    assert [outcome.result().batch for outcome in outcomes][:2] == [2, 2]
    batcher.end(WAIT_S)


def test_one_robots_nonsense_does_not_fail_the_others(batcher: Batcher) -> None:
    state, _ = sight(0)
    _, good = put(batcher, "good", ask(1))
    _, bad = put(batcher, "bad", ask(2, state=np.full_like(state, np.nan)))
    _, fine = put(batcher, "fine", ask(3))
    batcher.start()

    assert isinstance(bad.error(), ModelError)
    assert good.result().batch == fine.result().batch == 1


def test_who_is_asked_alone_is_timed_alone(
    batcher: Batcher, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else some robots' passes together would look like one that hangs."""
    began: list[float] = []

    def predict(self: Model, asks: Sequence[Ask], guiding: Sequence[Any]) -> Any:
        began.append(time.monotonic() - batcher.busy_s)
        wait_until(lambda: batcher.busy_s > 0.02)
        if len(asks) > 1:
            raise ModelError("not in company")
        return alone(self, asks, guiding)

    alone = Model.predict
    monkeypatch.setattr(Model, "predict", predict)
    outcomes = [put(batcher, f"s{n}", ask(n))[1] for n in range(3)]
    batcher.start()

    assert [outcome.result().batch for outcome in outcomes] == [1, 1, 1]
    assert len(began) == 4
    assert all(later - earlier > 0.01 for earlier, later in pairwise(began))


def test_another_model_is_taken_between_two_passes_and_never_mixed(
    batcher: Batcher, model: Model, other_model: Model
) -> None:
    batcher.start()
    before = [put(batcher, f"s{n}", ask(n))[1] for n in range(3)]
    batcher.swap(other_model, set())
    after = [put(batcher, f"t{n}", ask(n))[1] for n in range(3)]

    results = [*enumerate(o.result() for o in before), *enumerate(o.result() for o in after)]
    assert put(batcher, "last", ask(1))[1].result().digest == other_model.digest
    # One thread at a time: noise comes from torch's one random state.
    batcher.end(WAIT_S)

    # Whichever pass each was in: the chunk is that of the model whose digest it bears.
    models = {model.digest: model, other_model.digest: other_model}
    for n, result in results:
        (alone,) = models[result.digest].predict([ask(n)], [None])
        assert np.allclose(result.answer.chunk, alone.chunk, atol=1e-3)


def test_a_session_that_the_new_model_does_not_fit_gets_no_answer_of_it(
    batcher: Batcher, other_model: Model
) -> None:
    _, void = put(batcher, "void", ask(1))
    _, kept = put(batcher, "kept", ask(2))
    batcher.swap(other_model, {"void"})
    batcher.start()

    assert isinstance(void.error(), SupersededError)
    assert kept.result().digest == other_model.digest


def test_it_learns_how_long_passes_take() -> None:
    pace = Pace(1.0)
    assert (pace.seconds(1), pace.seconds(4)) == (1.0, 4.0)

    pace.note(4, 1.5)
    assert pace.seconds(4) == 1.5
    assert pace.seconds(8) == 3.0
    pace.note(4, 2.5)
    assert pace.seconds(4) == pytest.approx(1.8)
