"""The worker as a real process; the test plays control."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.ipc import Channel, FrameBuffer, FrameLayout, ImageSpec, Message, listen
from agent.policy.load import LoadedPolicy
from agent.policy.predict import predict_chunk
from tests.datasets import CAMERA, JOINTS, SIZE, TASK
from tests.helpers import wait_until

LAYOUT = FrameLayout(JOINTS, JOINTS, (ImageSpec("attic", 8, 8), ImageSpec("cam", SIZE, SIZE)))
RENAME = {"observation.images.cam": f"observation.images.{CAMERA}"}
SEED = 11
READY_S = 120.0


@dataclass
class Worker:
    process: subprocess.Popen[bytes]
    channel: Channel
    hello: Message

    def next(self) -> Message:
        return wait_until(lambda: self.channel.wait(0.1), timeout_s=READY_S, what="a message")[0]

    def ask(
        self, request: int, slot: int = 0, plan: NDArray[np.float32] | None = None, frozen: int = 0
    ) -> Message:
        plan = np.zeros((0, 0), np.float32) if plan is None else plan
        self.channel.send(
            "observe",
            payload=plan.tobytes(),
            request=request,
            tick=40 + request,
            slot=slot,
            task=TASK,
            epoch=0,
            plan=list(plan.shape),
            past=[],
            frozen=frozen,
        )
        return self.next()


class Control:
    """Listens as the control process does and starts workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listener = listen(folder / "control.sock")
        self.buffer = FrameBuffer(folder / "frames", LAYOUT, 2, create=True)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, policy: Path, generation: int, **flags: Any) -> subprocess.Popen[bytes]:
        words = {
            "socket": self._folder / "control.sock",
            "policy": policy,
            "generation": generation,
            "threads": 1,
            "seed": SEED,
            "rename_map": json.dumps(RENAME),
            **flags,
        }
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "agent.policy.worker",
                *(f"--{k}={v}" for k, v in words.items()),
            ],
            stderr=(self._folder / f"{generation}.log").open("wb"),
        )
        self.processes.append(process)
        return process

    def log(self, generation: int) -> str:
        return (self._folder / f"{generation}.log").read_text()

    def accept(self) -> Channel:
        def try_it() -> Channel | None:
            try:
                return Channel(self._listener.accept()[0])
            except BlockingIOError:
                return None

        return wait_until(try_it, timeout_s=READY_S, what="a worker's hello")

    def welcome(self) -> tuple[Channel, Message]:
        channel = self.accept()
        hello = channel.wait(READY_S)[0]
        channel.send(
            "welcome",
            layout=LAYOUT.to_json(),
            buffer=str(self.buffer.path),
            slots=2,
            fps=30,
            task=TASK,
            robot="test",
        )
        return channel, hello

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self._listener.close()


WRONG, ENDED, MAIN, KILLED, ALONE, ODD = 1, 2, 3, 4, 5, 6


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    # Not pytest's folder: the path of a socket is limited to some hundred characters.
    with tempfile.TemporaryDirectory(prefix="armada-test-") as folder:
        control = Control(Path(folder))
        yield control
        control.end()


@pytest.fixture(scope="module")
def workers(control: Control, tiny_policy: Path) -> dict[int, Worker]:
    """Six at once: most of their time is imports."""
    flags: dict[int, dict[str, Any]] = {
        WRONG: {"rename_map": "{}"},
        MAIN: {"guidance": "exact"},
        # No flag of ours: whatever Python raises.
        ODD: {"rename_map": "[]"},
    }
    started = {
        n: control.start(tiny_policy, n, **flags.get(n, {}))
        for n in (WRONG, ENDED, MAIN, KILLED, ALONE, ODD)
    }
    workers = {}
    for _ in started:
        channel, hello = control.welcome()
        number = hello["generation"]
        workers[number] = Worker(started[number], channel, hello)
    return workers


@pytest.fixture(scope="module")
def main(workers: dict[int, Worker]) -> tuple[Worker, Message]:
    worker = workers[MAIN]
    return worker, worker.next()


def show(control: Control, slot: int) -> tuple[np.ndarray, np.ndarray]:
    """Put an observation into a slot and return its state and the image that counts."""
    views = control.buffer[slot]
    views.state[:] = np.linspace(-20, 20, len(JOINTS)) + slot
    views.images["attic"][:] = 255
    views.images["cam"][:] = 90 + slot
    return views.state.copy(), views.images["cam"].copy()


def test_it_introduces_itself(workers: dict[int, Worker]) -> None:
    for number, worker in workers.items():
        assert worker.hello.kind == "hello"
        assert worker.hello["role"] == "policy"
        assert worker.hello["generation"] == number
        assert worker.hello["pid"] == worker.process.pid


def test_it_is_ready_once_it_has_warmed_up(
    main: tuple[Worker, Message], loaded: LoadedPolicy
) -> None:
    _, ready = main

    assert ready.kind == "ready"
    assert ready["generation"] == MAIN
    assert ready["digest"] == loaded.digest
    assert ready["chunk_size"] == loaded.config.chunk_size
    assert 0 < ready["chunk_s"] < ready["warmup_s"]


@pytest.mark.parametrize("slot", [0, 1])
def test_a_chunk_is_the_policys_answer_to_that_slot(
    control: Control, main: tuple[Worker, Message], loaded: LoadedPolicy, slot: int
) -> None:
    state, image = show(control, slot)
    chunk = main[0].ask(slot, slot)

    assert chunk.kind == "chunk"
    assert (chunk["request"], chunk["tick"], chunk["generation"]) == (slot, 40 + slot, MAIN)
    assert chunk["timings"].keys() == {"wait_s", "pre_s", "infer_s", "post_s"}
    actions = np.frombuffer(chunk.payload, np.float32).reshape(chunk["shape"])
    expected, _ = predict_chunk(loaded, state, {CAMERA: image}, TASK, seed=SEED)
    assert np.allclose(actions, expected, atol=1e-3)


def test_a_chunk_continues_the_plan_that_came_with_the_request(
    control: Control, main: tuple[Worker, Message]
) -> None:
    state, _ = show(control, 0)
    plan = np.linspace(state, state + 25, 20).astype(np.float32)

    def off(answer: Message) -> float:
        actions = np.frombuffer(answer.payload, np.float32).reshape(answer["shape"])
        return float(np.abs(actions[:5] - plan[:5]).mean())

    assert off(main[0].ask(5, 0, plan, frozen=5)) < 0.5 * off(main[0].ask(6, 0))


def test_a_failed_inference_is_answered_and_the_next_one_works(
    control: Control, main: tuple[Worker, Message]
) -> None:
    worker = main[0]
    show(control, 0)
    control.buffer[1].state[:] = np.nan

    answer = worker.ask(10, slot=1)
    assert (answer.kind, answer["request"]) == ("error", 10)
    assert "not finite" in answer["message"]
    answer = worker.ask(11, slot=99)
    assert (answer.kind, answer["request"]) == ("error", 11)
    answer = worker.ask(12, slot=0)
    assert (answer.kind, answer["request"]) == ("chunk", 12)


def test_a_policy_that_does_not_fit_is_a_message_one_line_and_a_status(
    control: Control, workers: dict[int, Worker]
) -> None:
    worker = workers[WRONG]
    failed = worker.next()

    assert failed.kind == "failed"
    assert "the policy needs the camera" in failed["message"]
    assert worker.process.wait(READY_S) == 3
    errors = [line for line in control.log(WRONG).splitlines() if " ERROR " in line]
    assert len(errors) == 1
    assert failed["message"] in errors[0]
    assert "Traceback" not in control.log(WRONG)


def test_whatever_else_stops_it_while_it_loads_is_said_as_well(
    control: Control, workers: dict[int, Worker]
) -> None:
    worker = workers[ODD]
    failed = worker.next()

    assert failed.kind == "failed"
    assert failed["message"].startswith("AttributeError: ")
    assert worker.process.wait(READY_S) == 3
    assert "Traceback" in control.log(ODD)
    # Where the supervisor looks for it.
    last = control.log(ODD).splitlines()[-1]
    assert " ERROR " in last
    assert last.endswith(failed["message"])


def test_killed_it_is_an_end_of_file(workers: dict[int, Worker]) -> None:
    worker = workers[KILLED]
    assert worker.next().kind == "ready"
    worker.process.send_signal(signal.SIGKILL)

    wait_until(lambda: worker.channel.wait(0.1) == [] and worker.channel.closed)


def test_it_ends_when_control_is_gone(workers: dict[int, Worker]) -> None:
    worker = workers[ALONE]
    assert worker.next().kind == "ready"
    worker.channel.close()

    assert worker.process.wait(READY_S) == 0


def test_sigterm_ends_it_at_once_also_while_it_computes(
    control: Control, workers: dict[int, Worker]
) -> None:
    worker = workers[ENDED]
    assert worker.next().kind == "ready"
    show(control, 0)
    worker.channel.send(
        "observe", request=1, tick=1, slot=0, task=TASK, epoch=0, plan=[0, 0], past=[], frozen=0
    )
    worker.process.terminate()

    assert worker.process.wait(READY_S) == -signal.SIGTERM


def test_retired_it_ends(main: tuple[Worker, Message]) -> None:
    main[0].channel.send("retire")

    assert main[0].process.wait(READY_S) == 0
