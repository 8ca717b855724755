"""What a subcommand is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def show_verbs(prog: str, verbs: Mapping[str, Callable[[list[str]], int]]) -> None:
    """``--help`` of a command that has verbs: each with the first line of its docstring."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"usage: {prog} VERB \\[options]   ({prog} VERB --help for more)\n")
    for name, verb in verbs.items():
        console.print(f"  {name:10}{(verb.__doc__ or '').strip().splitlines()[0]}", markup=False)
