"""A round on a terminal: a bar that counts updates, and a line for each event."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_LOUD = {
    "failed": "red",
    "cancelled": "red",
    "dropped": "yellow",
    "waiting": "yellow",
    "resumed": "yellow",
    "finished": "green",
}


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
        if kind == "asked":
            description = f"round {self._number}, {data['server_round']}: robots train"
            self._progress.update(
                self._bar, description=description, total=data["robots"], completed=0
            )
        elif kind == "reply":
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
    if kind in ("queued", "started"):
        train = data["request"]["train"]
        return (
            f"{data['request']['rounds']} rounds of {train['steps']} steps × "
            f"{train['batch_size']} frames"
        )
    if kind == "waiting":
        return f"{data['robots']} of {data['needed']} robots are there"
    if kind == "asked":
        return f"{data['robots']} of {data['of']} robots, to start from version {data['version']}"
    if kind == "progress":
        reason = f", {data['reason']}" if data["reason"] else ""
        return f"{_who(data)}: step {data['step']} of {data['steps']}{reason}"
    if kind in ("reply", "late"):
        error = ""
        if "error_before" in data:
            error = f", held-out error {data['error_before']:.4f} → {data['error_after']:.4f}"
        loss = ""
        if "loss_first" in data:
            loss = f", loss {data['loss_first']:.4f} → {data['loss_last']:.4f}"
        late = f", {data['staleness']} releases late" if data.get("staleness") else ""
        return (
            f"{_who(data)}: {data['samples']} frames{loss}{error}, {data['bytes_up']:,} B up{late}"
        )
    if kind == "aggregated":
        return f"{data['robots']} updates, {data['samples']} frames"
    if kind == "evaluated":
        return f"held-out error of the release {data['error']:.4f}, {data['robots']} robots"
    if kind == "measured":
        return f"{_who(data)}: held-out error {data['error']:.4f}"
    if kind == "released":
        return f"release {data['version']}, {data['digest']}"
    if kind == "finished":
        return "releases " + ", ".join(str(v) for v in data["releases"])
    who, reason = _who(data), str(data.get("reason", ""))
    return f"{who}: {reason}" if who else reason


def _who(data: dict[str, Any]) -> str:
    """The robot, or its node while nobody knows which it is."""
    return str(data.get("robot") or (f"node {data['node']}" if "node" in data else ""))
