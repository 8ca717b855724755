"""Partitions: disjoint, complete, the same for the same seed, and never a cut episode."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from flwr_datasets.partitioner import ExponentialPartitioner, Partitioner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.data.federated.partitioner import LeRobotDatasetPartitioner as By
from robots.errors import ConfigError, DataError
from robots.replay.info import EpisodeInfo

WAYS = {
    "by_episode": lambda n, tasks, seed: By.by_episode(n, seed=seed),
    "by_task": lambda n, tasks, seed: By.by_task(-(-tasks // n), seed=seed),
    "by_size": lambda n, tasks, seed: By.by_size([1 + i for i in range(n)], seed=seed),
    "skewed": lambda n, tasks, seed: By.skewed(n, alpha=50, seed=seed),
    "exponential": lambda n, tasks, seed: By.of(ExponentialPartitioner(n), seed=seed),
}

MAY_REFUSE = ("skewed", "exponential")
"""Their partitions differ in size by nature; one that would be empty is an error."""


def recording(lengths: list[int], tasks: int) -> list[EpisodeInfo]:
    return [
        EpisodeInfo(index=i, length=n, tasks=(f"task {i % tasks}",), data=Path("x"), videos={})
        for i, n in enumerate(lengths)
    ]


def divided(
    way: str, episodes: list[EpisodeInfo], n: int, tasks: int, seed: int
) -> list[list[int]]:
    return [list(part) for part in WAYS[way](n, tasks, seed).divide(episodes)]


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lengths=st.lists(st.integers(1, 2000), min_size=24, max_size=60),
    n=st.integers(1, 4),
    tasks=st.integers(1, 4),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_episode_goes_to_one_partition_and_always_the_same(
    way: str, lengths: list[int], n: int, tasks: int, seed: int
) -> None:
    episodes = recording(lengths, tasks)
    try:
        parts = divided(way, episodes, n, tasks, seed)
    except DataError as error:
        if way not in MAY_REFUSE:
            raise AssertionError(way) from error
        return

    counted = Counter(number for part in parts for number in part)
    assert counted == Counter(range(len(lengths)))
    assert all(part and part == sorted(part) for part in parts)
    assert divided(way, episodes, n, tasks, seed) == parts


def test_another_seed_gives_another_draw() -> None:
    episodes = recording([10] * 40, 1)
    draws = [divided("by_episode", episodes, 4, 1, seed) for seed in range(3)]
    assert draws[0] != draws[1] != draws[2]
    assert [len(part) for part in draws[0]] == [10] * 4


def test_by_task_each_has_its_own() -> None:
    episodes = recording([10] * 30, 3)
    parts = By.by_task().divide(episodes)
    assert sorted(len({episodes[i].tasks for i in part}) for part in parts) == [1, 1, 1]


def test_by_size_counts_frames() -> None:
    lengths = [100 + 7 * (i % 13) for i in range(80)]
    parts = By.by_size([1, 1, 2], seed=1).divide(recording(lengths, 1))
    shares = [sum(lengths[i] for i in part) / sum(lengths) for part in parts]
    assert shares == pytest.approx([0.25, 0.25, 0.5], abs=0.02)


def test_a_small_share_gets_an_episode_nevertheless() -> None:
    parts = By.by_size([1, 1000, 1]).divide(recording([900, 20, 800, 700], 1))
    assert [len(part) for part in parts] == [1, 2, 1]


def test_skewed_the_smaller_alpha_the_more_they_differ() -> None:
    episodes = recording([10] * 200, 4)

    def unevenness(alpha: float) -> float:
        parts = By.skewed(4, alpha=alpha, seed=3).divide(episodes)
        most = [max(Counter(episodes[i].tasks for i in p).values()) / len(p) for p in parts]
        return sum(most) / len(most)

    assert unevenness(100) < 0.35 < 0.6 < unevenness(0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: By(0),
        lambda: By.by_size([]),
        lambda: By.by_size([1, 0]),
        lambda: By.by_task(0),
        lambda: By.skewed(3, alpha=0),
    ],
)
def test_numbers_that_cannot_be_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("way", ["by_episode", "by_size", "skewed"])
def test_more_partitions_than_episodes_are_refused(way: str) -> None:
    with pytest.raises(DataError, match="Ask for fewer partitions"):
        divided(way, recording([10, 10], 1), 3, 1, 0)


def test_it_is_one_of_flowers_partitioners() -> None:
    assert issubclass(By, Partitioner)
