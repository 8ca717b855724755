"""What a process said last: its log tells why it ended."""

from __future__ import annotations

import contextlib
from pathlib import Path


def last_line(log: Path) -> str:
    """Empty without a log."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def last_error(log: Path) -> str:
    """What the last line says, if it is an error as :mod:`agent.logs` writes it; else empty."""
    line = last_line(log)
    return line.split(": ", 1)[-1] if " ERROR " in line else ""
