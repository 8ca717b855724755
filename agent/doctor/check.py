"""What one line of the doctor's table is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from robots.errors import ArmadaError


class Verdict(Enum):
    """How it stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Finding:
    """One line.

    Args:
        part: What was looked at.
        verdict: How it stands.
        detail: What was found, with figures.
        remedy: What to do about it; empty when there is nothing to do.
    """

    part: str
    verdict: Verdict
    detail: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict.value}


Check = Callable[[], Iterator[Finding]]
"""Looks at one thing; an ArmadaError that it raises becomes a FAIL with that error's remedy."""


def run_checks(checks: dict[str, Check]) -> list[Finding]:
    """Run all; one that fails doesn't keep the others from being run."""
    findings: list[Finding] = []
    for part, check in checks.items():
        try:
            findings += check()
        except ArmadaError as error:
            where = f"{error.field}={error.value}: " if error.field else ""
            findings.append(Finding(part, Verdict.FAIL, where + error.message, error.remedy or ""))
    return findings
