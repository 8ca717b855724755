"""Rounds that survive: ``python -m benchmarks.federation.chaos --data DATA_SET``.

Real episodes are split between four robots, each a host of its own with SuperNode, executor and
trainer, one of them in a network namespace; the server has TLS, and the robots' keys are
registered. A schedule starts a round each minute. Twice: left alone, and while at random a trainer,
a SuperNode, an executor, the SuperLink, the SuperExec, the ServerApp are SIGKILLed and one robot's
cable is out for two minutes. Needs root (namespaces).

- *Closed*: the round made a release. *Lost*: an update that a robot finished and no release holds.
- *Equal*: the releases of both runs, round by round, where the same robots took part.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.policy.init import build_policy
from agent.policy.load import read_stats
from agent.proto import fleet_pb2 as pb
from benchmarks.federation.chaos.disturb import Disturber
from benchmarks.federation.fleet import Fleet, fleet, wait
from benchmarks.federation.network import Cable, cable
from benchmarks.federation.shares import shares
from benchmarks.inference.setting import machine
from benchmarks.inference.table import show
from robots.errors import FederationError
from robots.replay.info import read_info

_SCHEDULE = "every-minute"
_ONLINE_S = 180.0

HEADERS = (
    "run",
    "kills",
    "cable out, s",
    "rounds",
    "closed",
    "updates",
    "finished but lost",
    "resumed",
    "s from first start to last release",
    "equal to the run left alone",
)


@dataclass
class Outcome:
    """Of one run."""

    name: str
    rounds: list[dict[str, Any]]
    digests: list[str]
    took_part: list[list[str]]
    updates: list[dict[str, str]]
    seconds: float
    kills: dict[str, int] = field(default_factory=dict)
    cut_s: float = 0.0

    @property
    def closed(self) -> int:
        return sum(any(e["kind"] == "released" for e in r["events"]) for r in self.rounds)

    @property
    def resumed(self) -> int:
        return sum(e["kind"] == "resumed" for r in self.rounds for e in r["events"])

    def row(self, alone: Outcome, lost: int) -> list[str]:
        same = sum(
            a == b and one == other
            for a, b, one, other in zip(
                self.digests, alone.digests, self.took_part, alone.took_part, strict=False
            )
        )
        return [
            self.name,
            ", ".join(f"{number} {part}" for part, number in sorted(self.kills.items())) or "none",
            f"{self.cut_s:.0f}",
            str(len(self.rounds)),
            str(self.closed),
            str(sum(len(robots) for robots in self.took_part)),
            str(lost),
            str(self.resumed),
            f"{self.seconds:.0f}",
            f"{same} of {len(alone.digests)}",
        ]


def policy_for(data: Path, out: Path) -> Path:
    """Tiny, with random weights, for the recording's cameras and joints."""
    info = read_info(data)
    return build_policy(
        out,
        size="tiny",
        cameras=dict.fromkeys(info.cameras, (64, 64)),
        action_names=info.names("action"),
        stats=read_stats(data),
    )


def schedule(args: argparse.Namespace) -> pb.Schedule:
    """A round each minute; a slot that found one running comes as soon as that is over."""
    return pb.Schedule(
        name=_SCHEDULE,
        cron="* * * * *",
        missed="run",
        by="benchmark",
        request=pb.StartRoundRequest(
            rounds=1,
            min_robots=args.robots,
            wait_s=300,
            timeout_s=900,
            encoding=args.encoding,
            late="fold",
            train=pb.TrainConfig(steps=args.steps, batch_size=8, lr=1e-3),
        ),
    )


def run(name: str, args: argparse.Namespace, given: Given, *, disturbed: bool) -> Outcome:
    """All rounds, once."""
    root = given.root / name
    root.mkdir()
    robots = [
        (f"robot{i + 1}", path, given.cable if i == args.robots - 1 else None)
        for i, path in enumerate(given.shares)
    ]
    with fleet(root, given.cable.server, given.policy, robots) as whole:
        wait(lambda: len(whole.pids("supernode")) >= args.robots, _ONLINE_S, "SuperNodes run")
        disturber = Disturber(whole, given.cable, args.seed, (args.least, args.most), args.cut)
        with whole.operator() as client:
            client.set_schedule(schedule(args))
        if disturbed:
            disturber.start()
        try:
            _until_over(whole, args)
        finally:
            if disturbed:
                disturber.end()
        return _outcome(name, whole, disturber)


def _until_over(whole: Fleet, args: argparse.Namespace) -> None:
    deadline = time.monotonic() + args.limit
    removed = False
    while time.monotonic() < deadline:
        rounds = whole.rounds()
        if len(rounds) >= args.rounds and not removed:
            try:
                with whole.operator() as client:
                    client.remove_schedule(_SCHEDULE, "benchmark")
                removed = True
            except FederationError as error:
                print(f"asking again: {error}", file=sys.stderr)
        if removed and all(_ended(r) for r in rounds):
            return
        time.sleep(1.0)
    raise TimeoutError(f"{len(whole.rounds())} rounds, not all over within {args.limit:g} s")


def _ended(told: dict[str, Any]) -> bool:
    return any(e["kind"] in ("finished", "failed", "cancelled") for e in told["events"])


def _outcome(name: str, whole: Fleet, disturber: Disturber) -> Outcome:
    rounds = whole.rounds()
    times = [e["time"] for r in rounds for e in r["events"]]
    manifests = [
        json.loads(path.read_text())
        for path in sorted(whole.state.releases.glob("*/manifest.json"))
        if not path.parent.is_symlink() and path.parent.name != "0000"
    ]
    for told in rounds:
        for event in told["events"]:
            if event["kind"] in ("failed", "dropped", "resumed"):
                print(f"{name}, round {told['id']}: {event}", file=sys.stderr)
    return Outcome(
        name=name,
        rounds=rounds,
        digests=[m["trainable_digest"] for m in manifests],
        took_part=[sorted(p["robot"] for p in m["participants"]) for m in manifests],
        updates=[{p["robot"]: p["update_digest"] for p in m["participants"]} for m in manifests],
        seconds=max(times) - min(times),
        kills=dict(disturber.killed),
        cut_s=sum(disturber.cuts),
    )


def lost_updates(root: Path, outcome: Outcome) -> int:
    """Updates that a robot finished and the server never had, and such that the server said it had
    and that are in no release."""
    released = {digest for release in outcome.updates for digest in release.values()}
    had = [
        event["data"]
        for told in outcome.rounds
        for event in told["events"]
        if event["kind"] in ("reply", "late")
    ]
    arrived = {(update["robot"], update["job"]) for update in had}
    return len(finished_jobs(root) - arrived) + len({u["update_digest"] for u in had} - released)


def finished_jobs(root: Path) -> set[tuple[str, str]]:
    """Robot and job of each training that came to its end, by what lies there and by the
    trainers' logs: what was delivered, or given up, lies there no more."""
    ends = re.compile(r"trainer\.trainer: (\S+-train-\S+) exited with status 0$")
    done = {
        (path.parents[3].name, path.parent.name)
        for path in root.glob("robot*/training/jobs/*-train-*/result.json")
    }
    return done | {
        (path.parents[1].name, found[1])
        for path in root.glob("robot*/logs/trainer.log")
        for line in path.read_text(encoding="utf-8").splitlines()
        if (found := ends.search(line))
    }


@dataclass(frozen=True)
class Given:
    """What both runs share."""

    root: Path
    policy: Path
    shares: list[Path]
    cable: Cable


def main() -> int:
    """Measure and print; 1 if an update was lost, a round not closed, or weights differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a LeRobot data set")
    parser.add_argument("--robots", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--encoding", default="int8")
    parser.add_argument("--seed", type=int, default=0, help="of what happens")
    parser.add_argument("--least", type=float, default=8.0, help="s between two kills")
    parser.add_argument("--most", type=float, default=30.0)
    parser.add_argument("--cut", type=float, default=120.0, help="s that the cable is out")
    parser.add_argument("--limit", type=float, default=2400.0, help="s for all rounds")
    parser.add_argument("--keep", type=Path, help="folder for logs and states; else temporary")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    where = machine()
    names = [f"robot{i + 1}" for i in range(args.robots)]
    with tempfile.TemporaryDirectory() as scratch, cable() as between:
        root = args.keep or Path(scratch)
        root.mkdir(parents=True, exist_ok=True)
        given = Given(
            root=root,
            policy=policy_for(args.data, root / "policy"),
            shares=shares(args.data, names, root / "data"),
            cable=between,
        )
        alone = run("left alone", args, given, disturbed=False)
        shaken = run("disturbed", args, given, disturbed=True)
        lost = {o.name: lost_updates(root / o.name, o) for o in (alone, shaken)}
    print(
        f"{where}; {args.robots} robots, {args.data.name}, tiny SmolVLA, {args.steps} steps a "
        f"round, {args.encoding}\n"
    )
    rows = [o.row(alone, lost[o.name]) for o in (alone, shaken)]
    show(HEADERS, rows, markdown=args.markdown)
    well = all(o.closed == len(o.rounds) and not lost[o.name] for o in (alone, shaken))
    return 0 if well and alone.digests[: args.rounds] == shaken.digests[: args.rounds] else 1


if __name__ == "__main__":
    sys.exit(main())
