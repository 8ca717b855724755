"""What a subcommand is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A subcommand of ``armada``, found through the entry point group ``armada.commands``.

    Args:
        name: The word after ``armada``.
        help: One line for ``armada --help``.
        main: Gets the words after the name, returns the exit status.
        order: Place in ``armada --help``.
    """

    name: str
    help: str
    main: Callable[[list[str]], int]
    order: int = 50
