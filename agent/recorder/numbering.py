"""Where an episode is after others were deleted: those behind them have moved up."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence


def moved(index: int, deletions: Iterable[Sequence[int]]) -> int | None:
    """The number that an episode has now; ``None``: it was deleted.

    Args:
        index: The number that it had before all of them.
        deletions: Of each the numbers, ascending, that its episodes had then.
    """
    for deleted in deletions:
        if index in deleted:
            return None
        index -= bisect.bisect(deleted, index)
    return index
