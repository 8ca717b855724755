"""A round on a terminal: a bar that counts updates, and a line for each event."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_LOUD = {"failed": "red", "dropped": "yellow", "waiting": "yellow", "finished": "green"}


class RoundView:
    """Shows the events of one round.

    Args:
        console: The terminal.
        number: Of the round.
    """

    def __init__(self, console: Console, number: int) -> None:
        self._number = number
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("updates"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._bar = self._progress.add_task(f"round {number}", total=None)

    def __enter__(self) -> RoundView:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, event: dict[str, Any]) -> None:
        """Take the next event."""
        kind, data = event["kind"], event["data"]
        if kind == "sent":
            description = f"round {self._number}, {data['server_round']}: robots train"
            self._progress.update(
                self._bar, description=description, total=data["robots"], completed=0
            )
        elif kind in ("reply", "dropped"):
            self._progress.advance(self._bar)
        clock = time.strftime("%H:%M:%S", time.localtime(event["time"]))
        self._progress.console.print(
            f"{clock} {kind:10} {sentence(kind, data)}",
            style=_LOUD.get(kind),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def sentence(kind: str, data: dict[str, Any]) -> str:
    """An event in words."""
    if kind == "started":
        train = data["request"]["train"]
        return (
            f"{data['request']['rounds']} rounds of {train['steps']} steps × "
            f"{train['batch_size']} frames"
        )
    if kind == "waiting":
        return f"{data['robots']} of {data['needed']} robots are there"
    if kind == "sent":
        return f"{data['bytes']:,} B of weights to each of {data['robots']} robots"
    if kind == "reply":
        error = ""
        if "error_before" in data:
            error = f", held-out error {data['error_before']:.4f} → {data['error_after']:.4f}"
        return (
            f"{data.get('robot', data['node'])}: {data['samples']} frames, loss "
            f"{data['loss_first']:.4f} → {data['loss_last']:.4f}{error}, {data['bytes_up']:,} B up"
        )
    if kind == "aggregated":
        return f"{data['robots']} updates, {data['samples']} frames"
    if kind == "evaluated":
        return f"held-out error of the average {data['error']:.4f}"
    if kind == "released":
        return f"release {data['version']}, {data['digest']}"
    if kind == "finished":
        return "releases " + ", ".join(str(v) for v in data["releases"])
    return str(data.get("reason", ""))
