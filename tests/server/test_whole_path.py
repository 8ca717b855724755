"""The whole path of a federated round, nothing replaced: server, SuperLink, SuperExec, two
SuperNodes with ClientApps on tiny policies, releases pulled by both robots."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.federation.executor import executor_command
from agent.paths import StateDir
from agent.policy import weights
from agent.policy.store import ModelStore
from agent.supernode import SuperNodeConfig, supernode_command
from server.base import open_base
from server.paths import ServerState
from server.registry.releases import Releases
from tests.datasets import make_dataset, make_policy
from tests.helpers import free_port, wait_until
from tests.server.deployment import START_S

pytestmark = pytest.mark.timeout(900)

ROBOTS = {"left": 40.0, "right": 25.0}
STEPS = 40


@dataclass
class Fleet:
    root: Path
    policy: Path
    address: str
    superlink: str
    server_argv: list[str]

    @property
    def server_state(self) -> ServerState:
        return ServerState(self.root / "server")

    def robot(self, name: str) -> StateDir:
        return StateDir(self.root / name)

    def dataset(self, name: str) -> Path:
        return self.robot(name).default_dataset

    @property
    def ready(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.server_state.ready.read_text())
        return data

    def run_round(self, *flags: str) -> tuple[int, list[dict[str, Any]]]:
        """`armada round start`: its status and its events."""
        argv = ["start", f"--server={self.address}", "--json=true", *flags]
        code = "import sys; from server.commands.round import main; sys.exit(main(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=600
        )
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert events, done.stderr
        return done.returncode, events

    def pull(self, name: str) -> tuple[int, list[dict[str, Any]]]:
        """What the robot's link starts when a release is announced."""
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "agent.releases",
                f"--state_dir={self.robot(name).root}",
                f"--server={self.address}",
                f"--dataset-root={self.dataset(name)}",
            ],
            capture_output=True,
            text=True,
            timeout=500,
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@contextlib.contextmanager
def process(argv: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator[Any]:
    with log.open("ab") as file:
        child = subprocess.Popen(
            argv,
            stdout=file,
            stderr=file,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


@contextlib.contextmanager
def supernode(fleet: Fleet, name: str) -> Iterator[Any]:
    config = SuperNodeConfig(
        superlink=fleet.superlink,
        name=name,
        state_dir=fleet.robot(name).root,
        dataset_root=fleet.dataset(name),
        threads=1,
    )
    argv, env = supernode_command(config)
    trainer = [
        sys.executable,
        "-m",
        "agent.federation.trainer",
        f"--state_dir={config.state_dir}",
        f"--name={name}",
        f"--dataset_root={config.dataset_root}",
        "--threads=1",
    ]
    with (
        process(argv, fleet.root / f"{name}.log", env) as child,
        process(executor_command(config.state_dir), fleet.root / f"{name}.executor.log", env),
        process(trainer, fleet.root / f"{name}.trainer.log", env),
    ):
        yield child


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    root = tmp_path_factory.mktemp("fleet")
    policy = make_policy(root / "policy")
    port, superlink_port = free_port(), free_port()
    for seed, (name, reach) in enumerate(ROBOTS.items()):
        state = StateDir(root / name)
        state.create()
        make_dataset(
            state.default_dataset, episodes=3 + seed, frames=20 + 4 * seed, reach=reach, seed=seed
        )
        ModelStore(state.models).ensure_current(str(policy))
        own = {
            # Whatever the host's disk and temperature are.
            "training": {"min_free_gb": 0.0, "max_temperature": 0.0},
            # What they lack of a release to start from they fetch there.
            "federation": {"server": f"127.0.0.1:{port}"},
        }
        state.config.write_text(json.dumps(own))
    code = "import sys; from server.commands.server import main; sys.exit(main(sys.argv[1:]))"
    argv = [
        sys.executable,
        "-c",
        code,
        f"--policy.path={policy}",
        f"--state_dir={root / 'server'}",
        f"--port={port}",
        f"--superlink_port={superlink_port}",
        f"--control_port={free_port()}",
        f"--broker.port={free_port()}",
        "--min_free_gb=0",
    ]
    fleet = Fleet(root, policy, f"127.0.0.1:{port}", f"127.0.0.1:{superlink_port}", argv)
    with process(argv, root / "server.log") as server, contextlib.ExitStack() as stack:
        for name in ROBOTS:
            stack.enter_context(supernode(fleet, name))

        def up() -> bool:
            assert server.poll() is None, (root / "server.log").read_text()
            return fleet.server_state.ready.exists()

        wait_until(up, timeout_s=START_S, what="the server is ready")
        yield fleet


@pytest.fixture(scope="module")
def first_round(fleet: Fleet) -> tuple[int, list[dict[str, Any]]]:
    return fleet.run_round("--min_robots=2", f"--train.steps={STEPS}", "--train.batch_size=4")


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in events if event["kind"] == kind]


def test_a_round_trains_both_robots_and_releases(
    fleet: Fleet, first_round: tuple[int, list[dict[str, Any]]]
) -> None:
    status, events = first_round
    assert status == 0, events
    quiet = ("waiting", "progress", "unanswered")
    assert [e["kind"] for e in events if e["kind"] not in quiet] == [
        "started", "asked", "reply", "reply", "aggregated", "released", "finished",
    ]  # fmt: skip
    replies = {reply["robot"]: reply for reply in of_kind(events, "reply")}
    assert {name: r["samples"] for name, r in replies.items()} == {"left": 40, "right": 72}
    for reply in replies.values():
        assert reply["loss_last"] < reply["loss_first"]
        assert reply["error_after"] > 0
        assert reply["error_before"] != reply["error_after"]
        assert 250_000 < reply["bytes_up"] < 350_000
    manifest = Releases(fleet.server_state.releases).manifest(1)
    assert {p["robot"] for p in manifest["participants"]} == set(ROBOTS)
    assert manifest["samples"] == 112
    assert manifest["metrics"]["error-after"] > 0


def test_the_release_is_the_weighted_mean_of_what_the_robots_say_they_sent(
    fleet: Fleet, first_round: tuple[int, list[dict[str, Any]]]
) -> None:
    replies = {reply["robot"]: reply for reply in of_kind(first_round[1], "reply")}
    initial = open_base(fleet.server_state.base).trainable()
    updates = {name: retrain(fleet, name) for name in ROBOTS}

    released = Releases(fleet.server_state.releases).trainable(1)

    for name, update in updates.items():
        record = json.loads((fleet.robot(name).training / "last_train.json").read_text())
        digest = weights.digest(update)
        assert record["update-digest"] == replies[name]["update_digest"] == digest
        assert record["received-digest"] == weights.digest(initial)
    for tensor, got in released.items():
        mean = (
            updates["left"][tensor].double() * 40 + updates["right"][tensor].double() * 72
        ) / 112
        assert torch.allclose(got.double(), mean, atol=1e-7, rtol=1e-5), tensor


def retrain(fleet: Fleet, name: str) -> dict[str, torch.Tensor]:
    """The same training once more: on a CPU it repeats bit for bit."""
    from agent.training.config import TrainConfig
    from agent.training.train import train

    return train(
        policy_path=fleet.policy,
        processors=fleet.robot(name).processors,
        dataset_root=fleet.dataset(name),
        config=TrainConfig(steps=STEPS, batch_size=4),
        threads=1,
    ).trainable


def test_a_robot_pulls_verifies_and_takes_the_release(
    fleet: Fleet, first_round: tuple[int, list[dict[str, Any]]]
) -> None:
    manifest = Releases(fleet.server_state.releases).manifest(1)
    store = ModelStore(fleet.robot("left").models)
    before = store.current
    assert before is not None

    status, events = fleet.pull("left")

    told = [e["event"] for e in events if e["event"] != "release_key_trusted"]
    assert told[:2] == ["release_fetched", "release_pulled"], events
    decision = events[-1]
    assert status == {"release_promoted": 0, "release_refused": 3}[decision["event"]]
    assert decision["error_candidate"] > 0
    assert decision["error_current"] > 0
    model = store.find(manifest["digest"])
    assert model.trainable_digest == manifest["trainable_digest"]
    assert model.base_digest == before.base_digest
    if status == 0:
        assert store.current == model
        assert store.previous == before
    else:
        assert store.current == before


def test_a_superlink_killed_between_rounds_comes_back_and_the_next_round_works(
    fleet: Fleet, first_round: tuple[int, list[dict[str, Any]]]
) -> None:
    pid = fleet.ready["pids"]["superlink"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: fleet.ready["pids"]["superlink"] not in (pid, None))

    status, events = fleet.run_round("--min_robots=2", "--train.steps=2", "--wait_s=240")

    assert status == 0, events
    (released,) = of_kind(events, "released")
    manifest = Releases(fleet.server_state.releases).manifest(released["version"])
    assert (manifest["version"], manifest["parent"]) == (released["version"], 1)


def test_a_round_without_enough_robots_fails_with_the_reason(
    fleet: Fleet, first_round: tuple[int, list[dict[str, Any]]]
) -> None:
    status, events = fleet.run_round("--min_robots=9", "--wait_s=0")
    assert status == 1
    assert "of 9 robots were there within 0 s" in events[-1]["data"]["reason"]
    assert events[-1]["kind"] == "failed"


def test_the_server_ends_and_takes_its_processes_along(fleet: Fleet) -> None:
    ready = fleet.ready
    os.kill(ready["pid"], signal.SIGTERM)
    wait_until(lambda: not fleet.server_state.ready.exists())
    for pid in ready["pids"].values():
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
