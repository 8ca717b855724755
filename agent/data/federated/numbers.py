"""Episode numbers as people write them: ``0-44, 47``."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r"(\d{1,7})(?:\s*-\s*(\d{1,7}))?")


def read_numbers(written: object) -> tuple[int, ...]:
    """Numbers in rising order, each once.

    Args:
        written: ``"0-44, 47"``, one number, or a list of numbers.

    Raises:
        ValueError: it is none of these.
    """
    numbers: set[int] = set()
    if isinstance(written, bool):
        raise ValueError("isn't a list of episodes")
    for part in written if isinstance(written, list) else str(written).split(","):
        match = _PART.fullmatch(str(part).strip())
        if match is None or isinstance(part, bool):
            raise ValueError("isn't a list of episodes")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError("runs backwards")
        numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))


def write_numbers(numbers: Iterable[int]) -> str:
    """``0-44, 47``; the inverse of :func:`read_numbers`."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)
