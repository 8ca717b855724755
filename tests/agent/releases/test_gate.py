"""What the gate decides of two models' errors on the same episodes."""

from __future__ import annotations

import numpy as np
import pytest

from agent.releases.gate import Action, Verdict, action, judge, upper_bound
from agent.releases.owner import ReleasesConfig
from robots.errors import ConfigError

OWNER = ReleasesConfig()
CURRENT = [0.10, 0.30, 0.20, 0.25]
"""Episodes differ by far more than the models do."""


def times(factor: float) -> list[float]:
    return [error * factor for error in CURRENT]


def test_a_better_candidate_is_promoted() -> None:
    judgement = judge(times(0.8), CURRENT, OWNER)
    assert judgement.verdict is Verdict.PROMOTE
    assert judgement.difference == pytest.approx(-0.2)
    assert judgement.upper is not None
    assert judgement.difference < judgement.upper < 0
    assert (judgement.episodes, judgement.margin) == (4, 0.02)


def test_one_that_is_the_same_is_promoted() -> None:
    judgement = judge(CURRENT, CURRENT, OWNER)
    assert (judgement.verdict, judgement.difference, judgement.upper) == (Verdict.PROMOTE, 0.0, 0.0)


def test_one_that_is_worse_by_more_than_the_margin_is_refused() -> None:
    judgement = judge(times(1.1), CURRENT, OWNER)
    assert judgement.verdict is Verdict.REFUSE
    assert judgement.reason == "+10.0% worse on 4 held-out episodes, 2.0% is let through"


def test_episodes_are_paired() -> None:
    # As two samples these can't be told apart: the episodes' spread is 8 times the difference.
    candidate = [error - 0.01 for error in CURRENT]
    assert judge(candidate, CURRENT, OWNER).verdict is Verdict.PROMOTE


def test_a_difference_that_hides_worse_ones_is_said_to_be_of_too_few_episodes() -> None:
    # Better on the average, but one episode says otherwise, and loudly.
    judgement = judge([0.05, 0.20, 0.15, 0.32], CURRENT, OWNER)
    assert judgement.difference is not None
    assert judgement.difference < 0
    assert judgement.verdict is Verdict.TOO_FEW
    assert "can't be ruled out" in judgement.reason


@pytest.mark.parametrize(("few", "done"), [
    ("accept", Action.TAKE), ("refuse", Action.REFUSE), ("wait", Action.WAIT),
])  # fmt: skip
def test_what_too_few_episodes_mean_is_the_owners_to_say(few: str, done: Action) -> None:
    owner = ReleasesConfig(few_episodes=few)
    none, two = judge([], [], owner), judge([0.1, 0.1], [0.2, 0.2], owner)
    assert (none.verdict, none.reason) == (Verdict.TOO_FEW, "there are no held-out episodes")
    assert none.to_json() == {"verdict": "too few episodes", "episodes": 0, "margin": 0.02}
    assert two.reason == "-50.0% on 2 held-out episodes, fewer than 3"
    assert action(none, owner) is action(two, owner) is done


def test_even_one_episode_is_enough_to_refuse() -> None:
    owner = ReleasesConfig(few_episodes="accept")
    judgement = judge([0.3], [0.2], owner)
    assert action(judgement, owner) is Action.REFUSE
    assert judgement.reason == "+50.0% worse on 1 held-out episode, 2.0% is let through"


def test_the_bound_holds_as_often_as_it_says() -> None:
    """Of 2000 models that are just as bad as the margin allows, about one in twenty passes."""
    rng = np.random.default_rng(0)
    passed = sum(upper_bound(rng.normal(0.02, 0.05, 4)) <= 0.02 for _ in range(2000))  # type: ignore[operator]
    assert 60 < passed < 140


def test_errors_that_do_not_pair_are_a_mistake_of_the_caller() -> None:
    for candidate, current in ([0.1], [0.1, 0.2]), ([float("nan")], [0.1]):
        with pytest.raises(ValueError, match="don't pair"):
            judge(candidate, current, OWNER)


@pytest.mark.parametrize(("field", "value"), [
    ("margin", -0.1), ("few_episodes", "perhaps"), ("min_episodes", 1), ("probation_s", -1.0),
    ("jump_ratio", 0.5), ("still_share", 1.5),
])  # fmt: skip
def test_what_an_owner_cannot_mean_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"--releases.{field}="):
        ReleasesConfig.of({field: value})


def test_an_unknown_field_of_a_file_is_refused() -> None:
    assert ReleasesConfig.of({"margin": 0.5}).margin == 0.5
    with pytest.raises(ConfigError, match=r"--releases\.margins"):
        ReleasesConfig.of({"margins": 0.5})
