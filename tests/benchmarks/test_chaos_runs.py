"""A few kills and a few swaps at a running agent. How late its ticks were is nobody's assertion
here: the machine is shared with other tests.
"""

from __future__ import annotations

from benchmarks.chaos import kills, swaps


def test_kills_leave_no_violation_and_the_arm_driven() -> None:
    result = kills.measure(4, seed=0)
    assert result.verdict.violations == []
    assert sum(len(killed.back) for killed in result.killed.values()) == 4
    assert sum(len(killed.acts_again) for killed in result.killed.values()) == 4
    assert result.unanswered == 0


def test_swaps_lead_to_the_new_model_and_never_back() -> None:
    result = swaps.measure(3, baseline_s=1.0, cores=0)
    assert result.baseline.violations == result.swapping.violations == []
    assert (len(result.took), result.back) == (3, 0)
    assert len(result.swapping.models) == 2
