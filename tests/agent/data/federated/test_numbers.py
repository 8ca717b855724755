"""Episode numbers as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.data.federated.numbers import read_numbers, write_numbers


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0-3", (0, 1, 2, 3)),
        ("7, 0-2,2", (0, 1, 2, 7)),
        (5, (5,)),
        ([3, 1, "5-6"], (1, 3, 5, 6)),
        ([], ()),
    ],
)
def test_ranges_numbers_and_lists_are_read(written: object, meant: tuple[int, ...]) -> None:
    assert read_numbers(written) == meant


@pytest.mark.parametrize("written", ["", "a", "-3", "3-", "4-2", "1.5", True, [True], {"a": 1}])
def test_what_is_none_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"list of episodes|backwards"):
        read_numbers(written)


@given(st.sets(st.integers(0, 500)))
def test_what_is_written_is_read_again(numbers: set[int]) -> None:
    written = write_numbers(numbers)
    assert read_numbers(written or []) == tuple(sorted(numbers))
    assert written.count(",") < max(1, len(numbers))
