"""Swaps of models under load: ``python -m benchmarks.chaos.swaps [--swaps 100] [--idle]``.

An agent drives an emulated arm while two processes keep both cores busy. Its store's ``current``
goes back and forth between two models; each time a worker loads the new one beside the old one,
and takes over between two chunks. Before that the agent runs as long without a swap, under the
same load. Every tick is judged (``judge.py``): late ones beside those without swaps, and whether
any request was answered by two models, or any action went back to an older one: as often as models
were swapped the acting one must have changed.

The exit status is 1 where there was a violation or another number of changes, where a tick was
skipped during the swaps, or where the share of late ticks is more than 0.1 % of the ticks above the
share without swaps: 0.1 % is what may be late under any load.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.inference_config import InferenceConfig
from agent.policy.store import ModelStore
from benchmarks.chaos.agent import Agent, Traced
from benchmarks.chaos.judge import COLUMNS, Verdict, judge
from benchmarks.inference.job import CHUNK
from benchmarks.inference.policies import make_policy
from benchmarks.inference.setting import machine
from benchmarks.inference.table import show
from benchmarks.rig import Power

TOLERANCE = 0.001
"""Share of the ticks that may be late beyond the share without swaps."""

_BURN = "while True: pass"
_AFTER_S = 2.0
"""After the last swap, longer than a chunk lasts: what would act again does so within it."""

_SWAP_S = 180.0
"""Within which a worker has started; PyTorch alone takes seconds, many on busy cores."""


@dataclass
class Result:
    """Of a run.

    Args:
        took: Of each swap, from the order to the first action of the new model, s.
        baseline: The ticks without swaps.
        swapping: The ticks with them.
        back: Changes of the acting model that no swap asked for.
    """

    took: list[float]
    baseline: Verdict
    swapping: Verdict
    back: int

    @property
    def may_be_late(self) -> float:
        """Share of the ticks."""
        return self.baseline.late_share + TOLERANCE

    @property
    def failed(self) -> bool:
        too_late = self.swapping.late_share > self.may_be_late
        violations = self.baseline.violations + self.swapping.violations
        return bool(violations or self.back or self.swapping.skipped or too_late)


@contextlib.contextmanager
def busy(cores: int) -> Iterator[None]:
    """So many processes that do nothing but work."""
    processes = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(cores)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(swaps: int, baseline_s: float, cores: int) -> Result:
    """One run."""
    with (
        tempfile.TemporaryDirectory(prefix="swaps-") as folder,
        Power(f"swaps-{os.getpid()}") as power,
    ):
        policies = [make_policy(Path(folder) / str(i), "tiny", seed=i) for i in range(2)]
        with Agent(power, str(policies[0]), InferenceConfig(execution_horizon=5)) as agent:
            agent.wait(lambda: agent.acts_on(0.0) or _drives(agent), "the arm is driven")
            store = ModelStore(agent.config.state.models)
            first = store.current
            assert first is not None
            second = store.add(policies[1], origin="local")
            with busy(cores):
                agent.ticks.clear()
                until = time.monotonic() + baseline_s
                agent.wait(lambda: time.monotonic() >= until, "the time without swaps")
                begin, took = len(agent.ticks), []
                for number in range(swaps):
                    new = (second, first)[number % 2]
                    store.promote(new, reason="the benchmark's order")
                    acts = functools.partial(_acts, agent, new.digest)
                    took.append(agent.wait(acts, "the swap", _SWAP_S))
                until = time.monotonic() + _AFTER_S
                agent.wait(lambda: time.monotonic() >= until, "the time after the swaps")
                ticks = list(agent.ticks)
    back = changes(ticks) - swaps
    return Result(took, judge(ticks[:begin], CHUNK), judge(ticks[begin:], CHUNK), back)


def changes(ticks: Sequence[Traced]) -> int:
    """How often an action was of another model than the one before it."""
    models = [tick.origin["digest"] for tick in ticks if tick.origin is not None]
    return sum(new != old for old, new in itertools.pairwise(models))


def _drives(agent: Agent) -> bool:
    return bool(agent.ticks) and agent.ticks[-1].origin is not None


def _acts(agent: Agent, digest: str) -> bool:
    last = agent.ticks[-1].origin if agent.ticks else None
    return last is not None and last["digest"] == digest


def main() -> int:
    """Run, print, and fail if anything did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--baseline", type=float, default=120.0, help="seconds without swaps")
    parser.add_argument("--idle", action="store_true", help="without the two busy processes")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    where, cores = machine(), 0 if args.idle else 2
    result = measure(args.swaps, args.baseline, cores)
    print(f"{where}; {args.swaps} swaps, {cores} busy processes beside\n")
    rows = [
        ["without swaps", *result.baseline.cells()],
        ["swaps", *result.swapping.cells()],
    ]
    show(("", *COLUMNS), rows, markdown=args.markdown)
    print(
        f"\na swap takes {statistics.median(result.took):.1f} s at the median, "
        f"{max(result.took):.1f} s at most; the model changed {result.back} times more than that"
    )
    print(
        f"late ticks: {100 * result.swapping.late_share:.2f} %, at most "
        f"{100 * result.may_be_late:.2f} % may be ({100 * TOLERANCE:g} % more than without swaps)"
    )
    for violation in (result.baseline.violations + result.swapping.violations)[:20]:
        print(f"  {violation}")
    return int(result.failed)


if __name__ == "__main__":
    sys.exit(main())
