"""The matrix with what was measured, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.faults.fault import ALL, NONE, Fault
from benchmarks.faults.run_lerobot import Theirs
from benchmarks.faults.run_ours import Ours

HEAD = (
    "fault",
    "Armada",
    "state",
    "torque",
    "then",
    "back, s",
    "late ticks",
    "LeRobot",
    "torque",
    "after the fault",
    "at its end",
)


def torque(pattern: str) -> str:
    """``111011`` in words."""
    if pattern in (ALL, NONE):
        return "all" if pattern == ALL else "none"
    off = [str(i) for i, on in enumerate(pattern, start=1) if on == "0"]
    on = [str(i) for i, on in enumerate(pattern, start=1) if on == "1"]
    return f"not {', '.join(off)}" if len(off) <= len(on) else f"only {', '.join(on)}"


def row(fault: Fault, ours: Ours | str | None, theirs: Theirs | str | None) -> list[str]:
    """One; a string in place of a result says why there is none."""
    back = "–" if not fault.clear else "clear"
    late = "–"
    if isinstance(ours, Ours):
        late = f"{ours.late_ticks} of {ours.ticks}"
        if ours.recovered_s > 0.0:
            back = f"{ours.recovered_s:.1f}" if not fault.clear else "clear"
    elif ours is not None:
        back = f"**{ours}**"
    cells = [
        fault.title,
        fault.does,
        fault.state.replace("|", " or "),
        torque(fault.torque),
        torque(fault.torque_after),
        back,
        late,
    ]
    if isinstance(theirs, Theirs):
        drives = "drives" if theirs.again else "doesn't drive"
        cells += [
            theirs.does,
            torque(theirs.torque),
            f"{drives}, {torque(theirs.torque_after)}",
            f"{theirs.end}, {torque(theirs.torque_end)}",
        ]
    else:
        cells += [theirs or "–", "–", "–", "–"]
    return cells


def text(rows: Sequence[list[str]]) -> str:
    """Columns of equal width."""
    table = [list(HEAD), *rows]
    widths = [max(len(cells[i]) for cells in table) for i in range(len(HEAD))]
    lines = (
        "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()
        for cells in table
    )
    return "\n".join(lines)


def markdown(rows: Sequence[list[str]]) -> str:
    """For the page."""
    table = [list(HEAD), ["---"] * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)
