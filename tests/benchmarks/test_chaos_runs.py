"""A few kills and a few swaps at a running agent. How late its ticks were is nobody's assertion
here: the machine is shared with other tests.
"""

from __future__ import annotations

import os

import pytest

from agent.inference_config import InferenceConfig
from benchmarks.chaos import kills, server, swaps
from benchmarks.chaos.agent import Agent
from benchmarks.chaos.server import Server
from benchmarks.rig import Power


def test_what_does_not_start_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Agent) -> None:
        raise RuntimeError("not today")

    monkeypatch.setattr(Agent, "_connect", refuse)
    monkeypatch.setattr(server, "_START_S", 0.0)
    with Power(f"none-{os.getpid()}") as power:
        agent = Agent(power, "some/policy", InferenceConfig())
        with pytest.raises(RuntimeError, match="not today"):
            agent.__enter__()
    served = Server("some/policy")
    with pytest.raises(RuntimeError, match="doesn't start"):
        served.__enter__()
    for process in (agent._process, served._process):
        assert process is not None
        assert process.poll() is not None


def test_kills_leave_no_violation_and_the_arm_driven() -> None:
    result = kills.measure(4, seed=0)
    assert result.verdict.violations == []
    assert sum(len(killed.back) for killed in result.killed.values()) == 4
    assert sum(len(k.acts_again) + k.overtaken for k in result.killed.values()) == 4
    assert result.unanswered == 0


def test_swaps_lead_to_the_new_model_and_never_back() -> None:
    result = swaps.measure(3, baseline_s=1.0, cores=0)
    assert result.baseline.violations == result.swapping.violations == []
    assert (len(result.took), result.back) == (3, 0)
    assert len(result.swapping.models) == 2
