"""The remote worker as a real process, a real server behind it; the test plays control."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.ipc import Channel, FrameBuffer, FrameLayout, ImageSpec, Message, listen
from agent.policy.predict import Ask
from agent.policy.remote.session import PING_LIMIT_S, PING_S
from benchmarks.proxy import tell
from server.policy.batcher import Batcher, Job
from server.policy.model import Model
from server.tokens import Tokens
from tests.agent.policy.remote.background import Background
from tests.datasets import CAMERA, JOINTS, SIZE, TASK
from tests.helpers import free_port, wait_until

WAIT_S = 60.0
LAYOUT = FrameLayout(JOINTS, JOINTS, (ImageSpec("attic", 8, 8), ImageSpec("cam", SIZE, SIZE)))
RENAME = {"observation.images.cam": f"observation.images.{CAMERA}"}
SLOT = 1


class Worker:
    """A remote worker and control's end of its channel."""

    def __init__(self, folder: Path, server: str, **remote: Any) -> None:
        self._listener = listen(folder / "control.sock")
        self.buffer = FrameBuffer(folder / "frames", LAYOUT, 2, create=True)
        self.log = folder / "log"
        command = [
            sys.executable,
            "-m",
            "agent.policy.remote.worker",
            f"--socket={folder / 'control.sock'}",
            "--generation=0",
            f"--remote={json.dumps({'server': server, **remote})}",
            f"--rename_map={json.dumps(RENAME)}",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)
        self.channel = self._accept()
        (self.hello,) = self.channel.wait(WAIT_S)
        self.channel.send(
            "welcome",
            layout=LAYOUT.to_json(),
            buffer=str(self.buffer.path),
            slots=2,
            slot=SLOT,
            fps=30,
            task=TASK,
            robot="arm",
        )
        self._unread: list[Message] = []
        self._requests = 0

    def next(self, *kinds: str) -> Message:
        """The next message of one of these kinds; others are passed over."""

        def look() -> Message | None:
            self._unread += self.channel.wait(0.1)
            while self._unread:
                message = self._unread.pop(0)
                if message.kind in kinds:
                    return message
            assert not self.channel.closed, self.log.read_text()
            return None

        return wait_until(look, timeout_s=WAIT_S, what=f"{kinds}")

    def observe(self, *, epoch: int = 0, task: str = TASK) -> int:
        views = self.buffer[SLOT]
        views.state[:] = np.linspace(-20, 20, len(JOINTS))
        views.images["attic"][:] = 255
        views.images["cam"][:] = 90
        self._requests += 1
        self.channel.send(
            "observe",
            request=self._requests,
            tick=40 + self._requests,
            epoch=epoch,
            slot=SLOT,
            task=task,
            plan=[0, 0],
            past=[],
            frozen=0,
        )
        return self._requests

    def ask(self) -> Message:
        """An answer, whatever it is."""
        number = self.observe()
        answer = self.next("chunk", "error")
        assert answer["request"] == number
        return answer

    def ask_until_chunk(self) -> Message:
        """As control does: an error, and the next one goes."""

        def look() -> Message | None:
            answer = self.ask()
            return answer if answer.kind == "chunk" else None

        return wait_until(look, timeout_s=WAIT_S, what="a chunk")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.channel.close()
        self._listener.close()

    def _accept(self) -> Channel:
        def look() -> Channel | None:
            try:
                return Channel(self._listener.accept()[0])
            except BlockingIOError:
                return None

        return wait_until(look, timeout_s=WAIT_S, what="a worker's hello")


def test_it_answers_as_a_worker_does_and_brings_the_servers_model(
    folder: Path, server: Background, model: Model, other_model: Model
) -> None:
    worker = Worker(folder, server.address, jpeg_quality=95)
    try:
        assert (worker.hello["role"], worker.hello["remote"]) == ("policy", True)
        assert (worker.hello["generation"], worker.hello["pid"]) == (0, worker.process.pid)

        # No server yet: said at once, and so is each question.
        link = worker.next("link")
        assert link["up"] is False
        assert "no policy server answers at" in link["cause"]
        assert "no policy server answers at" in worker.ask()["message"]

        server.up(model)
        ready = worker.next("ready")
        assert (ready["digest"], ready["chunk_size"]) == (model.digest, 30)
        assert ready["chunk_s"] > model.pass_s, "and the way there and back"
        assert worker.next("link")["up"] is True
        chunk = worker.ask()
        assert (chunk.kind, chunk["tick"], chunk["digest"]) == ("chunk", 42, model.digest)
        assert chunk["shape"] == [30, 6]
        assert chunk["bytes_up"] > 700
        assert chunk["bytes_down"] > 720
        assert chunk["timings"].keys() == {
            *("wait_s", "encode_s", "queue_s", "decode_s", "pre_s", "infer_s", "post_s")
        }

        server.swap(other_model)
        assert worker.ask()["digest"] == other_model.digest

        # Killed and started again, with the first model once more.
        server.down()
        assert worker.next("link")["up"] is False
        assert worker.ask().kind == "error"
        server.up(model)
        assert worker.next("ready")["digest"] == model.digest
        assert worker.next("link")["up"] is True
        assert worker.ask_until_chunk()["digest"] == model.digest

        worker.channel.send("retire")
        assert worker.process.wait(WAIT_S) == 0
        # It took leave: nobody has a session any more.
        wait_until(lambda: not server.service.status().robots)
    finally:
        worker.end()


def test_what_the_policy_is_asked_is_what_control_saw(
    folder: Path, server: Background, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.up(model)
    worker = Worker(folder, server.address)
    asked: list[Ask] = []
    put = Batcher.put
    monkeypatch.setattr(Batcher, "put", lambda self, job: (asked.append(job.ask), put(self, job)))
    try:
        worker.next("link")
        worker.observe(task="another task")
        assert worker.next("chunk", "error").kind == "chunk"
    finally:
        worker.end()
    (ask,) = asked
    assert np.allclose(ask.state, np.linspace(-20, 20, len(JOINTS)))
    assert (ask.task, ask.plan, ask.frozen) == ("another task", None, 0)
    assert [*ask.images] == [f"observation.images.{CAMERA}"]
    assert np.abs(ask.images[f"observation.images.{CAMERA}"].astype(int) - 90).max() <= 2


@contextlib.contextmanager
def proxied(target: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """(address, control socket) of a line to ``target`` that can be spoiled."""
    control = folder / "proxy.sock"
    command = [sys.executable, "-m", "benchmarks.proxy", f"--target={target}"]
    process = subprocess.Popen(
        [*command, f"--control={control}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield f"127.0.0.1:{json.loads(process.stdout.readline())['port']}", control
    finally:
        process.kill()
        process.communicate()


def test_a_black_hole_is_noticed_and_left_as_soon_as_it_ends(
    folder: Path, server: Background, model: Model
) -> None:
    server.up(model)
    with proxied(server.address, folder) as (address, line):
        worker = Worker(folder, address)
        try:
            assert worker.next("link")["up"] is True
            assert worker.ask().kind == "chunk"
            tell(line, "hole", on=True)
            # The question ends in an error as soon as it takes longer than answers do …
            assert worker.ask().kind == "error"
            # … and the link is known to be down.
            assert worker.next("link")["up"] is False
            tell(line, "hole", on=False)
            assert worker.next("link")["up"] is True
            assert worker.ask_until_chunk()["digest"] == model.digest
        finally:
            worker.end()


def test_what_a_black_hole_swallowed_is_not_computed_after_it(
    folder: Path, server: Background, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link was silent, not the model: the next chunk is for what the arm sees then."""
    asked: list[tuple[str, str]] = []
    put = Batcher.put

    def noted(self: Batcher, job: Job) -> None:
        asked.append((job.session, job.ask.task))
        put(self, job)

    monkeypatch.setattr(Batcher, "put", noted)
    server.up(model)
    with proxied(server.address, folder) as (address, line):
        worker = Worker(folder, address)
        try:
            assert worker.next("link")["up"] is True
            assert worker.ask().kind == "chunk"
            tell(line, "hole", on=True)
            worker.observe(task="swallowed")
            assert worker.next("chunk", "error").kind == "error"
            assert worker.next("link")["up"] is False
            # Until the pings have told.
            time.sleep(PING_S + PING_LIMIT_S)
            tell(line, "hole", on=False)
            wait_until(lambda: worker.next("link")["up"], what="attempts that failed are over")
            assert worker.ask_until_chunk()["digest"] == model.digest
        finally:
            worker.end()
    # What the proxy held back is in the old session.
    old = asked[0][0]
    assert [task for session, task in asked if session != old] == [TASK]


def test_a_server_that_hangs_is_left_at_once_and_taken_again_when_its_model_answers(
    folder: Path, server: Background, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pings are answered and sessions are opened all the while."""
    go_on, asked = threading.Event(), threading.Semaphore(0)
    predict = Model.predict

    def gated(self: Model, *words: Any) -> Any:
        asked.release()
        assert go_on.wait(WAIT_S)
        return predict(self, *words)

    go_on.set()
    monkeypatch.setattr(Model, "predict", gated)
    server.up(model)
    worker = Worker(folder, server.address)
    try:
        assert worker.next("link")["up"] is True
        assert worker.ask().kind == "chunk"
        assert asked.acquire(timeout=WAIT_S)
        go_on.clear()
        # Not after three questions of nearly a minute each.
        assert "did not answer in time" in worker.ask()["message"]
        down = worker.next("link")
        assert (down["up"], "did not answer in time" in down["cause"]) == (False, True)
        # A new session is there, and the same question in it.
        wait_until(lambda: server.service._batcher._queue)
        assert "did not answer in time" in worker.ask()["message"]
        go_on.set()
        assert worker.next("link")["up"] is True
        assert worker.ask()["digest"] == model.digest
    finally:
        go_on.set()
        worker.end()


def test_control_learns_how_long_the_chunks_of_another_model_are(
    folder: Path, server: Background, model: Model, other_model: Model
) -> None:
    server.up(model)
    worker = Worker(folder, server.address)
    try:
        assert worker.next("ready")["chunk_size"] == 30
        assert worker.ask().kind == "chunk"
        server.swap(replace(other_model, chunk_size=12))
        wait_until(lambda: not server.service.status().robots)
        # Its session is over; another is opened, which is said before that question's error.
        worker.observe()
        ready = worker.next("ready", "error")
        assert (ready.kind, ready["digest"]) == ("ready", other_model.digest)
        assert ready["chunk_size"] == 12
        assert worker.next("chunk", "error").kind == "error"
        assert worker.ask()["digest"] == other_model.digest
    finally:
        worker.end()


def test_a_robot_that_is_not_let_in_is_told_why_and_tries_on(
    folder: Path, model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.json"
    token = tmp_path / "token"
    tokens = Tokens(path)
    tokens.add("other")
    token.write_text("wrong")
    server = Background(tokens=str(path))
    server.up(model)
    worker = Worker(folder, server.address, token_file=str(token))
    try:
        down = worker.next("link")
        assert (down["up"], "is none of this server's" in down["cause"]) == (False, True)
        assert worker.process.poll() is None
    finally:
        worker.end()
        server.end()


def test_it_ends_with_control_and_at_sigterm(folder: Path) -> None:
    worker = Worker(folder, f"127.0.0.1:{free_port()}")
    worker.next("link")
    worker.channel.close()
    assert worker.process.wait(WAIT_S) == 0
    worker.end()

    worker = Worker(folder, f"127.0.0.1:{free_port()}")
    worker.next("link")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(WAIT_S) == -signal.SIGTERM
    worker.end()
