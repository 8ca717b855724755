"""What one line of the doctor's table is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from robots.errors import ArmadaError

LONGEST_S = 60.0
"""For one check: asking a silent bus at every baud rate takes ten seconds, a camera's first picture
five."""


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


def run_checks(checks: dict[str, Check], *, longest_s: float = LONGEST_S) -> list[Finding]:
    """Run all in turn; one that fails or hangs doesn't keep the others from being run.

    Args:
        checks: By the part that they look at.
        longest_s: A check that takes longer is left behind and fails.
    """
    findings: list[Finding] = []
    for part, check in checks.items():
        said: list[Finding] = []
        worker = threading.Thread(
            target=_run, args=(part, check, said), name=f"doctor {part}", daemon=True
        )
        worker.start()
        worker.join(longest_s)
        findings += said
        if worker.is_alive():
            text = f"took longer than {longest_s:g} s and was left"
            findings.append(Finding(part, Verdict.FAIL, text, "Unplug it and plug it in again"))
    return findings


def _run(part: str, check: Check, said: list[Finding]) -> None:
    try:
        for finding in check():
            said.append(finding)
    except ArmadaError as error:
        where = f"{error.field}={error.value}: " if error.field else ""
        said.append(Finding(part, Verdict.FAIL, where + error.message, error.remedy or ""))
    except Exception as error:  # noqa: BLE001
        # What nobody thought of, in a driver for instance: said aloud, and the rest is looked at.
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        said.append(Finding(part, Verdict.FAIL, f"the check broke: {text}", "Please report it"))
