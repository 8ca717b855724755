"""Checks of the host: packages, disk and clock."""

from __future__ import annotations

import ctypes
import shutil
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agent.doctor.check import Finding, Verdict
from robots.errors import DataError
from robots.replay.info import read_info

_PINNED = {"lerobot": "0.6.1", "flwr": "1.39.0"}
_LOW_DISK_B = 5 * 1024**3
"""A true-size policy and its predecessor take 4 GB."""

_FEW_HOURS = 1.0

_BITS_A_PIXEL = 0.2
"""Of H.264 as the recorder writes it: 0.75 GB an hour for 640×480 at 30 fps. Scenes differ by a
factor of two."""

_TIME_ERROR = 5
"""What adjtimex returns while nothing disciplines the kernel's clock."""


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


def estimated_rate(cameras: Iterable[tuple[int, int, float]]) -> float:
    """Bytes a second that recording takes: height, width and frames a second of each camera."""
    return sum(height * width * fps * _BITS_A_PIXEL / 8 for height, width, fps in cameras)


def recorded_rate(dataset: Path) -> float | None:
    """Bytes a second that a data set took; ``None``: it can't tell."""
    try:
        info = read_info(dataset)
    except DataError:
        return None
    seconds = info.frames / info.fps if info.fps else 0.0
    if seconds < 60:
        # Metadata weighs more than pictures in so short a recording.
        return None
    return sum(p.stat().st_size for p in dataset.rglob("*") if p.is_file()) / seconds


def disk(folder: Path, rate: float | None = None, source: str = "") -> Iterator[Finding]:
    """Free space where episodes and models go, and the hours of recording that it is good for.

    Args:
        folder: Where they go; needn't exist yet.
        rate: Bytes a second of recording; ``None`` or 0: not known.
        source: Where the rate is from.
    """
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1024**3:.1f} GiB free at {folder}"
    hours = None
    if rate:
        hours = free / rate / 3600
        shown = f"{hours:.1f}" if hours < 10 else f"{hours:.0f}"
        detail += f", good for {shown} h of recording ({source})"
    if free < _LOW_DISK_B or (hours is not None and hours < _FEW_HOURS):
        yield Finding("disk", Verdict.WARN, detail, "Free some space or set --state_dir")
    else:
        yield Finding("disk", Verdict.OK, detail)


def clock() -> Iterator[Finding]:
    """Whether something (NTP) disciplines the clock: Flower refuses a SuperNode whose clock is more
    than 4 s ahead of the SuperLink's."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (AttributeError, OSError):
        yield Finding("clock", Verdict.SKIP, "this system doesn't tell")
        return
    # struct timex with modes 0: nothing is set. It has 208 bytes.
    state = adjtimex(ctypes.create_string_buffer(512))
    if state < 0:
        yield Finding("clock", Verdict.SKIP, "this system doesn't tell")
    elif state == _TIME_ERROR:
        remedy = "Enable NTP: `timedatectl set-ntp true`; in a container it is the host's"
        yield Finding("clock", Verdict.WARN, "not synchronised", remedy)
    else:
        yield Finding("clock", Verdict.OK, "synchronised")
