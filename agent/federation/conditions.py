"""Why a robot doesn't train now: what its owner set, against what is.

Reasons begin with a word of :mod:`agent.federation.wire` and go on with what is to be said of it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from agent.federation.arm import ArmWatch
from agent.federation.owner import CONTINUE, DECLINE, TrainingConfig
from agent.federation.wire import BUSY, HOT, LOW_DISK, OPTED_OUT
from agent.training.home import Home

_COOLER = 5.0
"""Degrees below the limit at which a training that paused goes on."""

_NOT_THE_PROCESSOR = ("nvme", "acpitz", "iwlwifi", "drivetemp", "pch", "ucsi", "amdgpu", "battery")


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What is.

    Args:
        now: In the owner's time zone.
        idle_s: How long the arm has been idle.
        docked: Whether it is in its pose at start, or rests.
        temperature: Of the processor, °C; None: no sensor.
        free_gb: On the disk of the state folder.
    """

    now: datetime
    idle_s: float
    docked: bool
    temperature: float | None
    free_gb: float


def why_not(config: TrainingConfig, at: Readings, *, hot: bool = False) -> str:
    """Why nothing is trained now; empty: it may be.

    Args:
        config: What the owner allows.
        at: What is.
        hot: Whether it pauses because it was too hot.
    """
    if config.opt_out:
        return f"{OPTED_OUT}: --training.opt_out"
    if config.while_driving != CONTINUE and at.idle_s < config.idle_s:
        return f"{BUSY}: the arm works"
    if config.only_docked and not at.docked:
        return f"{BUSY}: the arm isn't in its pose at start"
    if not config.in_window(at.now):
        return f"{BUSY}: trains {', '.join(config.windows)} only, now it is {at.now:%H:%M}"
    limit = config.max_temperature - (_COOLER if hot else 0.0)
    if config.max_temperature and at.temperature is not None and at.temperature > limit:
        return f"{HOT}: the processor has {at.temperature:.0f} °C, the limit is {limit:.0f}"
    if at.free_gb < config.min_free_gb:
        return f"{LOW_DISK}: {at.free_gb:.1f} GB are free, at least {config.min_free_gb:g} must be"
    return ""


def declines(config: TrainingConfig, reason: str) -> bool:
    """Whether a new order is declined for a reason, where a job that is there would pause."""
    waits = reason == f"{BUSY}: the arm works" and config.while_driving != DECLINE
    return bool(reason) and not waits


class Conditions:
    """Reads and judges them.

    Args:
        home: The robot's.
    """

    def __init__(self, home: Home) -> None:
        self._config = home.training
        self._state = home.state
        self._arm = ArmWatch(home.state)
        self._hot = False

    def why_not(self) -> str:
        """Why nothing is trained now; empty: it may be."""
        config = self._config
        asks_arm = config.while_driving != CONTINUE or config.only_docked
        readings = Readings(
            now=config.now(),
            idle_s=self._arm.idle_s() if asks_arm else float("inf"),
            docked=self._arm.docked,
            temperature=processor_temperature() if config.max_temperature else None,
            free_gb=_free_gb(self._state.root),
        )
        reason = why_not(config, readings, hot=self._hot)
        self._hot = reason.startswith(HOT)
        return reason


def processor_temperature() -> float | None:
    """The hottest sensor of the host's processor, °C; None where there is none or psutil can't
    read it (macOS, Windows)."""
    if not hasattr(psutil, "sensors_temperatures"):
        return None
    read = [
        entry.current
        for chip, entries in psutil.sensors_temperatures().items()
        if not chip.lower().startswith(_NOT_THE_PROCESSOR)
        for entry in entries
    ]
    return max(read, default=None)


def _free_gb(folder: Path) -> float:
    return shutil.disk_usage(folder).free / 1e9
