"""Each merge is what its authors defined: LeRobot's own code is the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lerobot.async_inference.configs import AGGREGATE_FUNCTIONS
from lerobot.policies.act.modeling_act import ACTTemporalEnsembler
from numpy.typing import NDArray

from agent.control.merging.config import MergeConfig
from agent.control.merging.ensemble import ensemble
from agent.control.merging.newest import Newest
from agent.control.merging.weighted import NEW_SHARE, weighted
from agent.control.timeline import Merge, Planned, Timeline
from robots.errors import ConfigError

A = 6


def plans(actions: Sequence[NDArray[np.float32]]) -> list[Planned]:
    return [
        Planned(action, observed=i, first=i, generation=1, request=10 + i, epoch=3, digest="d")
        for i, action in enumerate(actions)
    ]


def actions(n: int, seed: int = 0) -> list[NDArray[np.float32]]:
    return list(np.random.default_rng(seed).uniform(-100, 100, (n, A)).astype(np.float32))


@pytest.mark.parametrize("merge", [Newest(), weighted("average"), ensemble(0.01)])
def test_what_is_merged_comes_from_the_newest_observation(merge: Merge) -> None:
    all_plans = plans(actions(4))
    merged = merge(7, all_plans)
    assert replace(merged, action=all_plans[-1].action) == all_plans[-1]
    assert merged.action.dtype == np.float32
    assert merged.action.shape == (A,)


@pytest.mark.parametrize("merge", [Newest(), weighted("average"), ensemble(0.01)])
def test_one_plan_alone_stays_as_it_is(merge: Merge) -> None:
    (only,) = plans(actions(1))
    np.testing.assert_array_equal(merge(0, [only]).action, only.action)


def test_newest_takes_the_newest() -> None:
    all_plans = plans(actions(3))
    assert Newest()(0, all_plans) is all_plans[-1]


@pytest.mark.parametrize("function", sorted(AGGREGATE_FUNCTIONS))
@given(n=st.integers(1, 60), seed=st.integers(0, 9))
def test_weighted_is_what_lerobot_s_client_folds(function: str, n: int, seed: int) -> None:
    steps = [torch.from_numpy(action) for action in actions(n, seed)]
    queued = steps[0]
    for new in steps[1:]:
        queued = AGGREGATE_FUNCTIONS[function](queued, new)
    merged = weighted(function)(0, plans(actions(n, seed))).action
    np.testing.assert_allclose(merged, queued.numpy(), rtol=1e-5, atol=1e-4)


def test_all_of_lerobot_s_functions_are_there() -> None:
    assert set(NEW_SHARE) == set(AGGREGATE_FUNCTIONS)


def test_the_order_of_the_fold_matters() -> None:
    a, b, c = actions(3)
    one, other = weighted("weighted_average"), weighted("weighted_average")
    assert not np.allclose(one(0, plans([a, b, c])).action, other(0, plans([b, a, c])).action)


@pytest.mark.parametrize("coefficient", [0.01, 0.0, -0.5])
def test_an_ensemble_is_act_s(coefficient: float) -> None:
    """A chunk every tick, as ACT asks; LeRobot keeps a running mean, the timeline all chunks."""
    size, ticks = 8, 20
    chunks = np.random.default_rng(1).uniform(-100, 100, (ticks, size, A)).astype(np.float32)
    theirs = ACTTemporalEnsembler(coefficient, size)
    timeline = Timeline(ensemble(coefficient))
    for tick in range(ticks):
        expected = theirs.update(torch.from_numpy(chunks[tick : tick + 1]))[0].numpy()
        origin = Planned(chunks[tick][0], observed=tick, first=tick, generation=1)
        timeline.add(chunks[tick], origin, now=tick)
        planned = timeline.take(tick)
        assert planned is not None
        assert planned.observed == tick
        np.testing.assert_allclose(planned.action, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("coefficient", [-50.0, 50.0])
def test_a_large_coefficient_is_no_overflow(coefficient: float) -> None:
    origin = Planned(np.zeros(A, np.float32), observed=0, first=0, generation=1)
    plans = [replace(origin, action=np.full(A, i, np.float32)) for i in range(50)]
    assert ensemble(coefficient)(0, plans).action == pytest.approx(49 * (coefficient < 0))


@pytest.mark.parametrize("change", [{"generation": 2}, {"digest": "other"}])
def test_nothing_is_averaged_across_a_swap(change: dict[str, object]) -> None:
    old, new = np.zeros((5, A), np.float32), np.full((5, A), 9.0, np.float32)
    timeline = Timeline(weighted("average"))
    origin = Planned(old[0], observed=0, first=0, generation=1, digest="one")
    timeline.add(old, origin, now=0)
    timeline.add(new, replace(origin, observed=1, **change), now=1)  # type: ignore[arg-type]
    planned = timeline.take(1)
    assert planned is not None
    assert (planned.action == 9.0).all()


@pytest.mark.parametrize("name", ["newest", "weighted", "ensemble", "rtc"])
def test_the_configuration_makes_each(name: str) -> None:
    config = MergeConfig(merge=name)
    assert config.make_merge().name == name
    assert config.continues == (name == "rtc")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"merge": "oldest"}, "--inference.merge=oldest: .* newest, weighted, ensemble, rtc"),
        ({"aggregate_fn_name": "mean"}, "--inference.aggregate_fn_name=mean"),
        ({"guidance": "none"}, "--inference.guidance=none: .* exact, identity"),
        ({"temporal_ensemble_coeff": float("nan")}, "must be finite"),
        ({"temporal_ensemble_coeff": 0.1}, "=0.1: .*--inference.merge=ensemble"),
        ({"merge": "weighted", "guidance": "identity"}, "Add --inference.merge=rtc"),
        ({"max_guidance_weight": 0.0}, "must be positive"),
    ],
)
def test_what_cannot_be_configured_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        MergeConfig(**wrong)  # type: ignore[arg-type]
