"""Every fault of the matrix ends in the written state, all of them on one control process: none
needs a restart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults.fault import MOVES, Fault
from benchmarks.faults.matrix import FAULTS
from benchmarks.faults.run_ours import OursRun, start
from benchmarks.rig import Control, Power
from robots.emulator import joints


@pytest.fixture(scope="module")
def power() -> Iterator[Power]:
    with Power(f"matrix{os.getpid()}", goal_period_s=1.0) as power:
        yield power


@pytest.fixture(scope="module")
def control(power: Power, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with start(power, tmp_path_factory.mktemp("matrix")) as control:
        yield control
    assert not any(power.torque()), "whoever shuts down in order lets go"


@pytest.fixture(scope="module")
def rows(power: Power, control: Control) -> OursRun:
    return OursRun(power, control, lasts_at_most_s=1.0)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_it_ends_as_written(rows: OursRun, control: Control, fault: Fault) -> None:
    if fault.root and os.geteuid() != 0:
        pytest.skip("the agent has the port to itself")
    pid = control.pid
    rows.run(fault)
    assert control.alive
    assert control.pid == control.status["pid"] == pid


def test_the_rows_are_complete() -> None:
    assert len(FAULTS) >= 25
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert fault.does in MOVES
        assert len(fault.torque) == len(fault.torque_after) == len(joints.NAMES)


def test_the_page_has_every_row() -> None:
    page = (Path(__file__).parents[3] / "docs" / "faults.md").read_text(encoding="utf-8")
    missing = [fault.title for fault in FAULTS if f"| {fault.title} |" not in page]
    assert not missing, "python -m benchmarks.faults --markdown"
