"""How long a round takes: ``python -m benchmarks.federation.wall [--size full]``.

Two robots' hosts and a server on this machine, TLS and registered keys, SmolVLA's expert with
random weights. Each robot trains one step of one frame, so that what is left is the round itself:
orders, weights down, updates up, checks, the average, the release. Beside it Flower's FedAvg over
the same robots and the same ClientApp: it sends the weights with its message and releases nothing.

- *Round*: from the operator's request to the end. *Robots*: the slowest robot's own seconds
  (loading the policy, the step). *Up*: bytes of updates, both robots.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from flwr.cli.build import build_fab_from_files

from agent.paths import StateDir
from agent.policy.init import build_policy
from agent.policy.load import read_stats
from agent.policy.store import ModelStore
from agent.proto import fleet_pb2 as pb
from benchmarks.federation.fleet import Fleet, fleet, wait
from benchmarks.federation.plain_server import ROBOTS
from benchmarks.federation.shares import shares
from benchmarks.inference.setting import machine
from benchmarks.inference.table import show
from robots.replay.info import read_info
from server.bundle import Bundle
from server.flower_control import FlowerControl

HEADERS = ("contender", "round, s", "robots, s", "up, MB", "release")
_HOST = "127.0.0.1"
_ONLINE_S = 300.0
_ROUND_S = 1800.0


def ours(whole: Fleet, encoding: str) -> list[str]:
    """A round as an operator asks for it."""
    began = time.monotonic()
    with whole.operator() as client:
        started = client.start_round(
            pb.StartRoundRequest(
                rounds=1,
                min_robots=ROBOTS,
                wait_s=300,
                timeout_s=_ROUND_S,
                encoding=encoding,
                train=pb.TrainConfig(steps=1, batch_size=1),
            )
        )
        events = list(client.watch_round(started.id))
    took = time.monotonic() - began
    replies = [json.loads(e.data_json) for e in events if e.kind == "reply"]
    if events[-1].kind != "finished" or len(replies) != ROBOTS:
        raise RuntimeError(f"{encoding}: {events[-1].kind}, {events[-1].data_json}")
    slowest = max(r["seconds"] for r in replies)
    up = sum(r["bytes_up"] for r in replies) / 1e6
    return [f"Armada, {encoding}", f"{took:.0f}", f"{slowest:.0f}", f"{up:.0f}", "yes"]


def peer(whole: Fleet, control: FlowerControl, names: list[str]) -> list[str]:
    """Flower's FedAvg over the same robots."""
    began = time.monotonic()
    run_id = control.start_run(_bundle(), {})

    def over() -> bool:
        status = control.status(run_id)
        return status is not None and status.over

    wait(over, _ROUND_S, "Flower's run is over")
    took = time.monotonic() - began
    status = control.status(run_id)
    if status is None or status.sub_status != "completed":
        raise RuntimeError(f"Flower's run: {status}")
    records = [
        json.loads((StateDir(whole.root / name).training / "last_train.json").read_text())
        for name in names
    ]
    slowest = max(record["seconds"] for record in records)
    weights = (whole.state.base / "trainable.safetensors").stat().st_size
    up = ROBOTS * weights / 1e6
    return ["Flower FedAvg, fp32", f"{took:.0f}", f"{slowest:.0f}", f"{up:.0f}", "no"]


def _bundle() -> Bundle:
    pyproject = """\
[project]
name = "peer"
version = "1.0.0"
description = "Flower's FedAvg over installed ClientApps."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "armada"

[tool.flwr.app.components]
serverapp = "benchmarks.federation.plain_server:app"
clientapp = "agent.federation.clientapp:app"
"""
    content, _ = build_fab_from_files({"pyproject.toml": pyproject.encode()})
    return Bundle(hashlib.sha256(content).hexdigest(), content)


@contextlib.contextmanager
def setting(size: str, data: Path, root: Path) -> Iterator[tuple[Fleet, list[str]]]:
    """Server and robots that have the policy and an episode each."""
    info = read_info(data)
    side = 64 if size == "tiny" else 256
    policy = build_policy(
        root / "policy",
        size=size,  # type: ignore[arg-type]
        cameras=dict.fromkeys(info.cameras, (side, side)),
        action_names=info.names("action"),
        stats=read_stats(data),
    )
    names = [f"robot{i + 1}" for i in range(ROBOTS)]
    parts = shares(data, names, root / "data", each=1)
    for name in names:
        store = ModelStore(StateDir(root / name).models)
        store.promote(store.add(policy, origin=str(policy)).digest)
    with fleet(root, _HOST, policy, [(n, p, None) for n, p in zip(names, parts, strict=True)]) as f:
        yield f, names


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("tiny", "full"), default="full")
    parser.add_argument("--data", type=Path, required=True, help="a LeRobot data set")
    parser.add_argument("--encodings", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    where = machine()
    with (
        tempfile.TemporaryDirectory() as scratch,
        setting(args.size, args.data, Path(scratch)) as (whole, names),
        FlowerControl(f"127.0.0.1:{whole.control_port}", Path(whole.ca)) as control,
    ):
        wait(lambda: sum(n.online for n in control.nodes()) >= ROBOTS, _ONLINE_S, "robots online")
        rows = []
        for measure in (
            lambda: peer(whole, control, names),
            *[lambda e=e: ours(whole, e) for e in args.encodings],  # type: ignore[misc]
        ):
            rows.append(measure())
            print(", ".join(rows[-1]), file=sys.stderr, flush=True)
    print(f"{where}; SmolVLA, {args.size} size, {ROBOTS} robots, one step each\n")
    show(HEADERS, rows, markdown=args.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
