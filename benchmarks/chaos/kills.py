"""SIGKILL at random: ``python -m benchmarks.chaos.kills [--kills 200] [--seed 0]``.

An agent asks a policy server through a proxy, with a policy of its own to fall back on. The local
worker, the remote worker, the server and the proxy are killed in random order at random times, and
brought back: the workers by their supervisor, the other two here, at once, on the same port, as a
service manager would. In between the operator changes the task, so that there are resets as well.
Every tick is judged (``judge.py``). *Acts again* is the time from a kill to the first action of an
observation made after it, where that came before the next kill or reset; *back* the time until what
was killed can be asked again.

The exit status is 1 where there was a violation, a tick was skipped, or the arm was not driven
again within 30 s of a kill, whatever came in between.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent.inference_config import InferenceConfig
from benchmarks.chaos.agent import Agent, Traced
from benchmarks.chaos.judge import COLUMNS, Verdict, judge
from benchmarks.chaos.server import Server
from benchmarks.inference.job import CHUNK, TASK
from benchmarks.inference.link import Link
from benchmarks.inference.setting import machine, setting
from benchmarks.inference.table import show
from benchmarks.rig import Power

TARGETS = ("local worker", "remote worker", "policy server", "proxy")
_MODULES = {"local worker": "agent.policy.worker", "remote worker": "agent.policy.remote.worker"}
_GAP_S = 1.5
_RESET_SHARE = 0.2
_LIMIT_S = 30.0
"""From a kill to an action; a server that has to start again takes the longest, and may be all that
there is when the local worker is killed as well."""


@dataclass
class Killed:
    """What happened after each kill of one target, s.

    Args:
        acts_again: Of those that were answered before the next kill or reset.
        overtaken: How many were not.
        unanswered: How many were not within the limit.
        back: Of all.
    """

    acts_again: list[float] = field(default_factory=list)
    overtaken: int = 0
    unanswered: int = 0
    back: list[float] = field(default_factory=list)


@dataclass
class Result:
    """Of a run."""

    killed: dict[str, Killed]
    resets: int
    verdict: Verdict
    unanswered: int

    @property
    def failed(self) -> bool:
        return bool(self.verdict.violations or self.verdict.skipped or self.unanswered)


class Chaos:
    """Kills and counts.

    Args:
        agent, server, link: Running.
        seed: Of what is killed when.
    """

    def __init__(self, agent: Agent, server: Server, link: Link, seed: int) -> None:
        self._agent = agent
        self._server = server
        self._link = link
        self._random = random.Random(seed)
        self._pending: list[tuple[str, float]] = []
        self._kills: list[tuple[str, float]] = []
        self._resets: list[float] = []
        self.killed = {target: Killed() for target in TARGETS}

    def run(self, kills: int) -> None:
        """That many."""
        for _ in range(kills):
            self._for(self._random.uniform(0.2, 2 * _GAP_S))
            if self._random.random() < _RESET_SHARE:
                self._resets.append(time.monotonic())
                self._agent.order("task", task=f"{TASK} {len(self._resets)}")
            self._agent.wait(self._free, "something is there to be killed")
            self._kill(self._random.choice(self._up()))
        self._agent.wait(lambda: self._poll() or not self._pending, "all of it is back")
        since = time.monotonic()
        self._agent.wait(lambda: self._agent.acts_on(since), "the arm is driven at the end")
        self._count(list(self._agent.ticks))

    @property
    def resets(self) -> int:
        return len(self._resets)

    @property
    def unanswered(self) -> int:
        return sum(killed.unanswered for killed in self.killed.values())

    def _count(self, ticks: Sequence[Traced]) -> None:
        moments = sorted([*self._resets, *(since for _, since in self._kills)])
        for target, since in self._kills:
            killed, took_s = self.killed[target], acts_again(ticks, since)
            if took_s is None or took_s > _LIMIT_S:
                killed.unanswered += 1
            elif any(since < moment < since + took_s for moment in moments):
                killed.overtaken += 1
            else:
                killed.acts_again.append(took_s)

    def _kill(self, target: str) -> None:
        if target == "policy server":
            self._server.kill()
        elif target == "proxy":
            self._link.kill()
        else:
            pid = self._agent.pid(_MODULES[target])
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        now = time.monotonic()
        self._pending.append((target, now))
        self._kills.append((target, now))
        if target == "policy server":
            self._server.start()
        elif target == "proxy":
            self._link.start()

    def _for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._agent.wait(lambda: self._poll() or time.monotonic() >= until, "time passes")

    def _free(self) -> bool:
        self._poll()
        return bool(self._up())

    def _up(self) -> list[str]:
        """What is there; one part at least is left to drive the arm."""
        down = {target for target, _ in self._pending}
        return [target for target in TARGETS if target not in down and self._there(target)]

    def _there(self, target: str) -> bool:
        return target not in _MODULES or self._agent.pid(_MODULES[target]) is not None

    def _poll(self) -> None:
        now = time.monotonic()
        for target, since in list(self._pending):
            if self._is_back(target, since):
                self._pending.remove((target, since))
                self.killed[target].back.append(now - since)

    def _is_back(self, target: str, since: float) -> bool:
        heard = self._agent.heard
        if target == "local worker":
            return any(
                at >= since and e["event"] == "policy_ready" and e["data"]["generation"] == 1
                for at, e in self._agent.events
            )
        if target == "remote worker":
            return any(
                at >= since and e["event"] == "policy_ready" and e["data"]["generation"] != 1
                for at, e in self._agent.events
            )
        if any(name == "remote worker" for name, _ in self._pending):
            return False
        return heard("policy_link", since, up=True) or heard("policy_ready", since)


def acts_again(ticks: Sequence[Traced], since_s: float) -> float | None:
    """Seconds from a moment to the first action of an observation made after it."""
    last = next((tick.number for tick in reversed(ticks) if tick.heard_s < since_s), -1)
    for tick in ticks:
        if tick.origin is not None and tick.heard_s >= since_s and tick.origin["observed"] > last:
            return tick.heard_s - since_s
    return None


@contextlib.contextmanager
def running(seed: int) -> Iterator[tuple[Agent, Server, Link]]:
    """An agent with both workers ready, its server and the proxy between them."""
    with (
        setting("tiny") as given,
        Server(given.policy) as server,
        Link(server.address) as link,
        Power(f"kills-{os.getpid()}", seed=seed) as power,
        Agent(power, given.policy, InferenceConfig(server=link.address, fallback=True)) as agent,
    ):
        agent.wait(lambda: agent.logged("policy_ready") >= 2, "both workers are ready")
        yield agent, server, link


def measure(kills: int, seed: int) -> Result:
    """One run."""
    with running(seed) as (agent, server, link):
        chaos = Chaos(agent, server, link, seed)
        chaos.run(kills)
        return Result(chaos.killed, chaos.resets, judge(agent.ticks, CHUNK), chaos.unanswered)


def main() -> int:
    """Run, print, and fail if anything did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    where, began = machine(), time.monotonic()
    result = measure(args.kills, args.seed)
    verdict = result.verdict
    print(f"{where}; {args.kills} kills in {time.monotonic() - began:.0f} s, seed {args.seed}\n")
    rows = [
        [target, str(len(k.back)), *_spread(k.acts_again), *_spread(k.back)]
        for target, k in result.killed.items()
    ]
    head = ("killed", "times", "acts again, s: median", "most", "back, s: median", "most")
    show(head, rows, markdown=args.markdown)
    print()
    show((*COLUMNS, "resets"), [[*verdict.cells(), str(result.resets)]], markdown=args.markdown)
    overtaken = sum(killed.overtaken for killed in result.killed.values())
    print(
        f"\n{overtaken} kills were followed by another one or a reset before the arm acted again; "
        f"after {result.unanswered} it did not within {_LIMIT_S:g} s"
    )
    for violation in verdict.violations[:20]:
        print(f"  {violation}")
    return int(result.failed)


def _spread(values: Sequence[float]) -> list[str]:
    if not values:
        return ["–", "–"]
    return [f"{statistics.median(values):.2f}", f"{max(values):.2f}"]


if __name__ == "__main__":
    sys.exit(main())
