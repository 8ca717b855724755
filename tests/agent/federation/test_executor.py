"""A robot runs the ClientApp that is installed on it, whatever bundle comes with a run; the real
SuperLink, SuperNode and executor, with TLS and keys."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.federation.executor import CLIENT_APP, RuntimeFiles
from agent.federation.flower_runtime import RuntimeAddress, TaskQueue, load_app
from robots.errors import FederationError
from tests.helpers import wait_until
from tests.server.deployment import Deployment, Robot, deployed
from tests.server.hostile import hostile_bundle

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("engine")) as alone:
        yield alone


@pytest.fixture(scope="module")
def robot(engine: Deployment) -> Robot:
    engine.register("left")
    return engine.start_robot("left")


def ask(engine: Deployment, tmp_path: Path, messages: int = 1) -> list[dict[str, Any]]:
    """What the robot says to a hostile run."""
    out = tmp_path / "said.json"
    engine.control.start_run(hostile_bundle(tmp_path / "trace", out, messages=messages), {})
    wait_until(out.exists, timeout_s=120.0, what="the run's answers")
    said: list[dict[str, Any]] = json.loads(out.read_text())
    return said


def test_a_hostile_bundle_leaves_no_trace_and_the_installed_app_answers(
    engine: Deployment, robot: Robot, tmp_path: Path
) -> None:
    said = ask(engine, tmp_path, messages=2)

    assert [entry["error"] for entry in said] == ["", ""]
    assert all(entry["records"] for entry in said)
    assert not (tmp_path / "trace").exists()
    # Not even unpacked.
    assert not [*robot.state.root.rglob("hostile_client.py")]


def test_no_token_stands_in_a_command_line_or_an_environment(
    engine: Deployment, robot: Robot, tmp_path: Path
) -> None:
    assert robot.executor.pid is not None
    executor = psutil.Process(robot.executor.pid)
    seen: set[str] = set()

    # A copy of the executor, down to its words and its environment.
    own = {" ".join(executor.cmdline()), " ".join(executor.environ().values())}
    out = tmp_path / "said.json"

    def note() -> bool:
        for child in executor.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                seen.add(" ".join(child.cmdline()))
                seen.add(" ".join(child.environ().values()))
        return out.exists()

    while not own <= seen:
        # It lives for a tenth of a second: another message when it was missed.
        out.unlink(missing_ok=True)
        engine.control.start_run(hostile_bundle(tmp_path / "trace", out), {})
        wait_until(note, timeout_s=120.0)

    # One that has just ended has no words.
    assert seen - {""} <= own


def test_an_executor_that_is_killed_is_back_for_the_next_message(
    engine: Deployment, robot: Robot, tmp_path: Path
) -> None:
    assert robot.executor.pid is not None
    os.kill(robot.executor.pid, signal.SIGKILL)
    wait_until(robot.executor.poll)
    wait_until(robot.executor.restart_when_due)

    (said,) = ask(engine, tmp_path)
    assert (said["error"], bool(said["records"])) == ("", True)


def test_only_who_has_the_secret_gets_tasks(robot: Robot, tmp_path: Path) -> None:
    files = RuntimeFiles(robot.state.flower)
    runtime = files.read()
    assert runtime is not None
    assert files.secret.stat().st_mode & 0o077 == 0
    wrong = tmp_path / "secret"
    wrong.write_text("0" * 64)

    queue = TaskQueue(RuntimeAddress(runtime.address, wrong))
    with pytest.raises(FederationError, match="401"):
        queue.next()
    queue.close()


def test_an_executor_waits_for_its_supernode(tmp_path: Path) -> None:
    from agent.federation.executor import Executor

    executor = Executor(RuntimeFiles(tmp_path), load_app(CLIENT_APP))

    assert executor.step() > 0.0


def test_the_executor_waits_with_a_light_app(tmp_path: Path) -> None:
    code = f"""
import sys
from agent.supervisor.forkable import stay_forkable, why_not
stay_forkable()
from agent.federation.flower_runtime import load_app
load_app({CLIENT_APP!r})
heavy = [name for name in ("torch", "lerobot", "datasets", "ray") if name in sys.modules]
print(heavy, why_not())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split("\n")[-2] == "[] None"
