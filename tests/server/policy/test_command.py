"""``armada policy-server`` as users start it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agent.cli import main
from agent.policy.atomic import point
from agent.policy.remote.session import Endpoint, Session
from agent.proto import policy_pb2 as pb
from server.policy.config import PolicyServerConfig
from server.policy.model import Watch
from server.policy.serve import Tell
from server.policy.view import status_dict
from tests.datasets import TASK
from tests.helpers import wait_until
from tests.server.policy.conftest import about, sight

_RUN = "import agent.cli; raise SystemExit(agent.cli.main())"
_NO_MEMORY_FOR_A_SECOND = """
import server.policy.model as model

first = [model.use_engine]

def use_engine(*args, **options):
    if not first:
        raise MemoryError("std::bad_alloc")
    return first.pop()(*args, **options)

model.use_engine = use_engine
"""
_A_RELOAD_WHILE_IT_LOADS = """
import os, signal
import server.policy.serve as serve

load, first = serve.load_model, [True]

def load_model(config):
    if first:
        first.clear()
        os.kill(os.getpid(), signal.SIGHUP)
    return load(config)

serve.load_model = load_model
"""


class Process:
    """A server in a process of its own, serving what a link points to.

    Args:
        folder: For the link and its output.
        policy: What is served first.
        first: Python that runs before the command, in its process.
    """

    def __init__(self, folder: Path, policy: Path, *, first: str = "") -> None:
        self.link = folder / "latest"
        point(self.link, str(policy))
        self.log = folder / "log"
        self._out = folder / "out"
        command = [
            sys.executable,
            *(["-c", f"{first}\n{_RUN}"] if first else ["-m", "agent.cli"]),
            "policy-server",
            f"--policy.path={self.link}",
            "--listen=127.0.0.1:0",
            "--report_s=0.5",
            "--json",
        ]
        with self._out.open("wb") as out, self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=out, stderr=log)

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = [
            line for line in self._out.read_text().splitlines(keepends=True) if line[-1] == "\n"
        ]
        return [e for e in map(json.loads, lines) if e["event"] == kind]

    def wait(self, kind: str, number: int = 1) -> dict[str, Any]:
        def look() -> list[dict[str, Any]]:
            assert self.process.poll() is None, self.log.read_text()
            return self.events(kind)[number - 1 :]

        return wait_until(look, what=kind)[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path) -> Iterator[Process]:
    server = Process(tmp_path_factory.mktemp("policy-server"), tiny_policy)
    yield server
    server.process.kill()
    server.process.wait()


def ask(address: str) -> tuple[np.ndarray, str]:
    async def call() -> tuple[np.ndarray, str]:
        session = await Session.open(Endpoint(address=address), about(), timeout_s=20)
        state, images = sight(1)
        request = session.request(1, 1, 0, state, images, TASK, seed=1)
        chunk, reply = await session.ask(request, timeout_s=60)
        await session.close()
        return chunk, reply.digest

    return asyncio.run(call())


def test_it_says_where_it_listens_and_what_it_serves(server: Process) -> None:
    ready = server.wait("ready")

    assert ready["pid"] == server.process.pid
    assert ready["chunk_size"] == 30
    chunk, digest = ask(ready["listen"])
    assert chunk.shape == (30, 6)
    assert digest == ready["digest"]


def test_load_balancers_can_ask_whether_it_serves(server: Process) -> None:
    async def call(service: str) -> int:
        async with Endpoint(address=server.wait("ready")["listen"]).channel() as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
            return int(reply.status)

    for service in ("", "armada.policy.v1.Policy"):
        assert asyncio.run(call(service)) == health_pb2.HealthCheckResponse.SERVING


def test_its_status_is_a_command_and_a_line_now_and_then(
    server: Process, capsys: pytest.CaptureFixture[str]
) -> None:
    address = server.wait("ready")["listen"]
    ask(address)

    assert main(["policy-server", "status", address, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["chunks"] >= 1
    assert main(["policy-server", "status", address]) == 0
    assert "infer p50 / p95" in capsys.readouterr().out
    wait_until(lambda: any(e["chunks"] >= status["chunks"] for e in server.events("status")))


def test_the_line_now_and_then_is_text_unless_json_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status = pb.StatusReply(
        chunks=3,
        superseded=2,
        stages=[pb.Stage(name="infer_s", p50_s=0.001, p95_s=0.002)],
        robots=[pb.Robot(name="left", chunks=3)],
    )

    def run(config: PolicyServerConfig, tell: Tell) -> int:
        tell("status", status_dict(status))
        return 0

    monkeypatch.setattr("server.policy.serve.run", run)
    assert main(["policy-server", "--policy.path=x"]) == 0
    assert capsys.readouterr().out == (
        "status 3 chunks, 1 robots, 2 superseded, infer p50 / p95 1.0 / 2.0 ms\n"
    )
    assert main(["policy-server", "--policy.path=x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["superseded"] == 2


def test_its_lines_are_not_lost_while_a_model_loads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(config: PolicyServerConfig, tell: Tell) -> int:
        # As the thread that loads does, for the whole process.
        with contextlib.redirect_stdout(io.StringIO()):
            tell("status", {"chunks": 3})
        return 0

    monkeypatch.setattr("server.policy.serve.run", run)
    assert main(["policy-server", "--policy.path=x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chunks"] == 3


def test_a_reload_while_the_first_model_loads_is_done_afterwards(
    tiny_policy: Path, tmp_path: Path
) -> None:
    server = Process(tmp_path, tiny_policy, first=_A_RELOAD_WHILE_IT_LOADS)
    try:
        ready = server.wait("ready")
        assert server.wait("swapped")["digest"] == ready["digest"]
    finally:
        server.process.kill()
        server.process.wait()


def test_it_follows_its_link_to_another_model_and_back_at_a_signal(
    server: Process, tiny_policy: Path, other_policy: Path
) -> None:
    ready = server.wait("ready")
    first, _ = ask(ready["listen"])

    point(server.link, str(other_policy))
    swapped = server.wait("swapped")
    assert swapped["before"] == ready["digest"]
    second, digest = ask(ready["listen"])
    assert digest == swapped["digest"] != ready["digest"]
    assert not np.allclose(first, second, atol=1e-2)

    point(server.link, str(tiny_policy))
    server.process.send_signal(signal.SIGHUP)
    assert server.wait("swapped", 2)["digest"] == ready["digest"]


def test_a_model_that_does_not_load_leaves_the_old_one_serving(
    server: Process, tiny_policy: Path, tmp_path: Path
) -> None:
    ready = server.wait("ready")
    broken = tmp_path / "broken"
    shutil.copytree(tiny_policy, broken)
    os.truncate(broken / "model.safetensors", 1000)

    point(server.link, str(broken))
    assert "its weights don't load" in server.wait("swap_failed")["cause"]
    assert ask(ready["listen"])[1] == ready["digest"]


def test_nor_does_one_whose_normaliser_was_cut_short(
    server: Process, tiny_policy: Path, tmp_path: Path
) -> None:
    ready, earlier = server.wait("ready"), len(server.events("swap_failed"))
    broken = tmp_path / "broken"
    shutil.copytree(tiny_policy, broken)
    (normaliser,) = broken.glob("policy_preprocessor_step_*_normalizer_processor.safetensors")
    os.truncate(normaliser, 20)

    point(server.link, str(broken))
    cause = server.wait("swap_failed", earlier + 1)["cause"]
    assert f"{normaliser.name} is cut short or damaged" in cause
    assert ask(ready["listen"])[1] == ready["digest"]


def test_whatever_a_new_model_fails_of_the_old_one_serves_on(
    tiny_policy: Path, other_policy: Path, tmp_path: Path
) -> None:
    server = Process(tmp_path, tiny_policy, first=_NO_MEMORY_FOR_A_SECOND)
    try:
        ready = server.wait("ready")
        point(server.link, str(other_policy))
        assert server.wait("swap_failed")["cause"] == "MemoryError: std::bad_alloc"
        assert ask(ready["listen"])[1] == ready["digest"]
        server.process.send_signal(signal.SIGHUP)
        assert server.wait("swap_failed", 2)["digest"] == ready["digest"]
        assert "Traceback" in server.log.read_text()
    finally:
        server.process.kill()
        server.process.wait()


def test_told_to_end_it_ends_well(server: Process) -> None:
    server.wait("ready")
    server.process.terminate()

    assert server.process.wait(60) == 0
    assert [e["event"] for e in server.events("stopping")] == ["stopping"]


def test_bad_input_is_one_line_and_a_status(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for words, says in (
        (["--policy.path=/nowhere"], "is neither a folder nor a policy"),
        (["--listen=0.0.0.0:1", "--policy.path=x"], "plaintext is for loopback only"),
        (["status", "127.0.0.1:9", "--json"], "server=127.0.0.1:9"),
        (["token", "make"], "needs a verb"),
        (["token", "add", "arm"], "names no file or no robot"),
    ):
        assert main(["policy-server", *words]) == 2
        assert says in capsys.readouterr().err


def test_tokens_are_made_listed_and_voided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = f"--tokens={tmp_path / 'tokens.json'}"
    assert main(["policy-server", "token", "add", "left", flag]) == 0
    token = capsys.readouterr().out.strip()
    assert len(token) == 43
    assert main(["policy-server", "token", "list", flag]) == 0
    assert capsys.readouterr().out.strip() == "left"
    assert main(["policy-server", "token", "remove", "left", flag]) == 0
    assert main(["policy-server", "token", "list", flag]) == 0
    assert capsys.readouterr().out.strip() == ""


def test_a_policy_with_another_normaliser_is_another_policy(
    tmp_path: Path, tiny_policy: Path
) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(tiny_policy, folder)
    (normaliser,) = folder.glob("policy_preprocessor_step_*_normalizer_processor.safetensors")
    (unnormaliser,) = folder.glob("policy_postprocessor_step_*_unnormalizer_processor.safetensors")
    watch = Watch(str(folder))

    for path in (normaliser, unnormaliser, folder / "policy_postprocessor.json"):
        path.write_bytes(path.read_bytes() + b" ")
        assert not watch.changed()
        assert watch.changed()
    unnormaliser.unlink()
    assert [watch.changed(), watch.changed()] == [False, True]


def test_files_that_still_change_are_left_to_settle(tmp_path: Path, tiny_policy: Path) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(tiny_policy, folder)
    watch = Watch(str(folder))
    assert not watch.changed()

    for size in (10, 20):
        (folder / "model.safetensors").write_bytes(bytes(size))
        assert not watch.changed()
    assert watch.changed()
    assert not watch.changed()
