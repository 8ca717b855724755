"""Which processes have a serial port open: LeRobot's own commands take no lock that could tell."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class PortUser:
    """A process with the port open.

    Args:
        pid: Its id.
        command: Its command line, shortened.
    """

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})"


def users(port: str) -> list[PortUser]:
    """The other processes of this user that have ``port`` open; empty where /proc doesn't tell.

    Who made a pseudo-terminal holds both of its ends, as the emulator of an arm does: that is the
    device, not a user of it.
    """
    device = str(Path(port).resolve())
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        pid = int(folder.parent.name)
        if pid == os.getpid():
            continue
        opened = set(_targets(folder))
        if device in opened and not (device.startswith("/dev/pts/") and _makes_terminals(opened)):
            found.append(PortUser(pid, command_of(pid)))
    return found


def command_of(pid: int) -> str:
    """A process's command line, shortened; ``?`` when it is gone or another user's."""
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return "?"
    # python /path/to/armada run … is `armada run …` to everybody.
    if len(words) > 1 and Path(words[0]).name.startswith("python") and not words[1].startswith("-"):
        words = words[1:]
    if words:
        words[0] = Path(words[0]).name
    said = " ".join(words)
    return said if len(said) <= 80 else said[:79] + "…"


def _targets(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for link in folder.iterdir():
            with contextlib.suppress(OSError):
                yield str(link.readlink())


def _makes_terminals(opened: set[str]) -> bool:
    return bool(opened & {"/dev/ptmx", "/dev/pts/ptmx"})
