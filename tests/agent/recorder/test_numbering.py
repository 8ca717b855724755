"""Numbers of episodes shift as others are deleted."""

from __future__ import annotations

from agent.recorder.numbering import moved


def test_what_lies_behind_a_deleted_episode_moves_up_and_what_lies_before_it_stays() -> None:
    assert moved(2, []) == 2
    assert [moved(i, [[0, 1, 3]]) for i in range(6)] == [None, None, 0, None, 1, 2]


def test_each_deletion_counts_by_the_numbers_of_its_time() -> None:
    assert moved(5, [[0, 4], [2], [0]]) == 1
    assert moved(5, [[0, 4], [3], [0]]) is None
