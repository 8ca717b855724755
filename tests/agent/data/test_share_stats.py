"""The normaliser's numbers of a share of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.data.share_stats import share_stats
from agent.policy.load import read_stats
from robots.errors import DataError


def test_all_episodes_together_have_the_data_sets_own(small_dataset: Path) -> None:
    ours, whole = share_stats(small_dataset, [0, 1, 2]), read_stats(small_dataset)
    assert ours.keys() == whole.keys()
    for feature in ("action", "observation.state"):
        for name in ("mean", "std", "min", "max", "count"):
            np.testing.assert_allclose(ours[feature][name], whole[feature][name], rtol=1e-4)


def test_one_knows_nothing_of_the_others(small_dataset: Path) -> None:
    first, second = share_stats(small_dataset, [0]), share_stats(small_dataset, [1])
    assert int(first["action"]["count"][0]) == 24
    assert not np.allclose(first["action"]["mean"], second["action"]["mean"])


def test_an_episode_that_is_not_there_is_named(small_dataset: Path) -> None:
    with pytest.raises(DataError, match="episode 7"):
        share_stats(small_dataset, [0, 7])
