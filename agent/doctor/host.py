"""Checks of the host: packages, disk, clock, and whether the fleet's addresses answer."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agent.doctor.check import Finding, Verdict

_PINNED = {"lerobot": "0.6.1", "flwr": "1.39.0"}
_LOW_DISK_B = 5 * 1024**3
"""An hour of two 640×480 cameras is 1–2 GB; a true-size policy and its predecessor 4 GB."""

_CONNECT_S = 2.0


def packages() -> Iterator[Finding]:
    """The versions that Armada is built on."""
    python = ".".join(str(n) for n in sys.version_info[:3])
    yield Finding("python", Verdict.OK, python)
    for name, wanted in _PINNED.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, Verdict.FAIL, "isn't installed", "Run `make setup`")
            continue
        if found == wanted:
            yield Finding(name, Verdict.OK, found)
        else:
            yield Finding(name, Verdict.FAIL, f"{found}, needs {wanted}", "Run `make setup`")


def disk(folder: Path) -> Iterator[Finding]:
    """Free space where episodes and models go."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1024**3:.1f} GiB free at {folder}"
    if free < _LOW_DISK_B:
        yield Finding("disk", Verdict.WARN, detail, "Free some space or set --state_dir")
    else:
        yield Finding("disk", Verdict.OK, detail)


def clock() -> Iterator[Finding]:
    """Flower refuses a SuperNode whose clock is more than 4 s ahead of the SuperLink's."""
    if shutil.which("timedatectl") is None:
        yield Finding("clock", Verdict.SKIP, "no timedatectl here to ask")
        return
    asked = subprocess.run(
        ["timedatectl", "show", "--property=NTPSynchronized", "--value"],
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
    )
    answer = asked.stdout.strip()
    if answer == "yes":
        yield Finding("clock", Verdict.OK, "synchronised")
    elif answer == "no":
        yield Finding(
            "clock", Verdict.WARN, "not synchronised", "Enable NTP: `timedatectl set-ntp true`"
        )
    else:
        yield Finding("clock", Verdict.SKIP, "timedatectl doesn't know")


def address(part: str, host: str, port: int, remedy: str) -> Iterator[Finding]:
    """Whether something listens at ``host:port``."""
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_S):
            yield Finding(part, Verdict.OK, f"{host}:{port} answers")
    except OSError as error:
        detail = f"{host}:{port} doesn't answer ({error.strerror or error})"
        yield Finding(part, Verdict.FAIL, detail, remedy)
