"""What a person sees of a calibration: ranges while they grow, old and new, file and servos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lerobot.motors import MotorCalibration
from rich.table import Table

from agent.calibrate.ranges import Ranges
from robots.arm.calibration import FULL_TURN, MIN_RANGE_TICKS, Difference

_FIELDS = ("homing_offset", "range_min", "range_max")


def ranges_table(ranges: Ranges) -> Table:
    """min, now and max of each joint, in ticks; a tick mark at those that have moved enough."""
    table = Table("joint", title="Move every joint through its whole range; ENTER when done")
    for column in ("min", "now", "max", "width"):
        table.add_column(column, justify="right")
    table.add_column("")
    for motor, r in ranges.of.items():
        enough = r.width >= MIN_RANGE_TICKS
        note = "[green]✓[/]" if enough else "[yellow]move it[/]"
        name = f"{motor} (turns)" if motor == FULL_TURN else motor
        table.add_row(name, str(r.low), str(r.now), str(r.high), str(r.width), note)
    return table


def ranges_line(ranges: Ranges, motors: set[str]) -> str:
    """The same of a few joints in one line, for where no table can be redrawn."""
    return "; ".join(
        f"{motor} {r.low}..{r.high} ticks, now {r.now}"
        for motor, r in ranges.of.items()
        if motor in motors
    )


def changes_table(
    old: Mapping[str, MotorCalibration], new: Mapping[str, MotorCalibration], title: str
) -> Table:
    """Old → new of each joint, in ticks."""
    table = Table("joint", *_FIELDS, title=title)
    for motor, fresh in new.items():
        cells = []
        for name in _FIELDS:
            before = getattr(old[motor], name) if motor in old else None
            after = getattr(fresh, name)
            if before == after:
                cells.append(f"[dim]{after}[/]")
            else:
                cells.append(f"{'–' if before is None else before} → [bold]{after}[/]")
        table.add_row(motor, *cells)
    return table


def differences_table(found: Sequence[Difference], title: str) -> Table:
    """Joint, field, file, servo."""
    table = Table("joint", "field", title=title)
    for column in ("file", "servo"):
        table.add_column(column, justify="right")
    for d in found:
        sides = ("–" if value is None else str(value) for value in (d.file, d.servo))
        table.add_row(d.motor, d.field, *sides)
    return table
