"""Pooled statistics are those of the union of all frames; what can't be of frames is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.data.open import open_info
from agent.federation.payload.statistics import (
    FEATURES,
    Sums,
    from_json,
    gather,
    normaliser,
    pool,
    to_json,
)
from robots.errors import ArmadaError, DataError, FederationError
from tests.datasets import make_dataset

STATE, ACTION = FEATURES


def of(frames: NDArray[np.float64]) -> dict[str, Sums]:
    """Statistics of these frames, as states and as actions."""
    sums = Sums(
        count=len(frames),
        total=frames.sum(axis=0).tolist(),
        squares=np.square(frames).sum(axis=0).tolist(),
        lowest=frames.min(axis=0).tolist(),
        highest=frames.max(axis=0).tolist(),
    )
    return {STATE: sums, ACTION: sums}


@settings(max_examples=50)
@given(
    seed=st.integers(0, 1000),
    frames=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    offset=st.sampled_from([0.0, 50.0, -100.0]),
)
def test_they_are_those_of_the_union_in_whatever_order(
    seed: int, frames: list[int], offset: float
) -> None:
    random = np.random.default_rng(seed)
    robots = [random.normal(offset, 10 * (n + 1), (f, 3)) for n, f in enumerate(frames)]
    union = np.concatenate(robots)

    told = [from_json(to_json(of(robot))) for robot in robots]
    pooled = pool(told)

    for name in FEATURES:
        assert pooled[name]["count"] == [len(union)]
        np.testing.assert_allclose(pooled[name]["mean"], union.mean(axis=0), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(pooled[name]["std"], union.std(axis=0), rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(pooled[name]["min"], union.min(axis=0))
        np.testing.assert_array_equal(pooled[name]["max"], union.max(axis=0))
    assert pool(told[::-1]) == pooled
    assert normaliser(json.dumps(pooled))[STATE]["mean"].tolist() == pooled[STATE]["mean"]


def test_a_robot_gathers_them_from_the_rows_it_trains_on(small_dataset: Path) -> None:
    lengths = [episode.length for episode in open_info(small_dataset).episodes]

    halves = [gather(small_dataset, [0], {}), gather(small_dataset, [1, 2], {})]

    whole = gather(small_dataset, [0, 1, 2], {})
    assert [half[STATE].count for half in halves] == [lengths[0], sum(lengths[1:])]
    assert pool(halves)[ACTION]["mean"] == pytest.approx(pool([whole])[ACTION]["mean"])
    stats = json.loads((small_dataset / "meta" / "stats.json").read_text())
    for name in FEATURES:
        assert pool(halves)[name]["mean"] == pytest.approx(stats[name]["mean"], abs=1e-4)
        assert pool(halves)[name]["std"] == pytest.approx(stats[name]["std"], abs=1e-3)


def test_it_says_what_a_data_set_lacks(small_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such episode"):
        gather(small_dataset, [7], {})
    with pytest.raises(DataError, match="no episodes"):
        gather(small_dataset, [], {})
    with pytest.raises(DataError, match=r"no finite observation.state"):
        gather(make_dataset(tmp_path / "one", episodes=1), [0], {STATE: "elsewhere"})


GOOD = of(np.array([[1.0, 2.0], [3.0, 5.0]]))


def changed(**change: Any) -> str:
    values = json.loads(to_json(GOOD))
    values[STATE] |= change
    return json.dumps(values)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "no JSON"),
        ("[]", "an object of"),
        (json.dumps({STATE: {}}), "an object of"),
        (changed(count=0), "a count"),
        (changed(count=2.0), "a count"),
        (changed(count=True), "a count"),
        (changed(count=10**9), "a count"),
        (changed(count=3), "no frames have|of other frames"),
        (changed(lowest=[-1e7, 2.0]), "where no joint is"),
        (changed(total=[4.0, 10**1000]), "finite numbers"),
        ("[" * 100_000, "no JSON"),
        (changed(total=[4.0]), "different length"),
        (changed(total=[4.0, "x"]), "finite numbers"),
        (changed(total=[4.0, 1e200]), "finite numbers"),
        (changed(total=[]), "finite numbers"),
        (changed(total=[4.0] * 2000), "finite numbers"),
        (changed(total=[4.0, 90.0]), "no frames have"),
        (changed(squares=[0.0, 29.0]), "no frames have"),
        (changed(squares=[1e9, 29.0]), "no frames have"),
        (changed(lowest=[9.0, 2.0]), "no frames have"),
        (changed(more=1), "unexpected keyword"),
    ],
)
def test_what_is_of_no_frames_is_refused(text: str, reason: str) -> None:
    with pytest.raises(FederationError, match=reason):
        from_json(text)


def test_robots_of_another_kind_do_not_pool() -> None:
    with pytest.raises(FederationError, match="2 numbers on one robot and 3 on another"):
        pool([GOOD, of(np.ones((4, 3)))])


@pytest.mark.parametrize(
    "text",
    ["", "{}", json.dumps({**pool([GOOD]), ACTION: {"mean": [1.0]}})],
)
def test_a_robot_takes_no_other_text_for_a_normaliser(text: str) -> None:
    with pytest.raises(ArmadaError, match="statistics"):
        normaliser(text)
