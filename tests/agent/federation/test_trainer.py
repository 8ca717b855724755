"""The trainer: real processes, real signals, and the same bits in the end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
import pytest

from agent.federation.jobs.job import Job
from agent.federation.trainer.trainer import MOST_ATTEMPTS, Trainer
from agent.policy import weights
from agent.training.train import train
from tests.agent.federation.arms import Arm
from tests.agent.federation.conftest import Robot, result, wait_until
from tests.agent.federation.forks import FORKS, run_trainer

STEPS = 60
"""So many that it is not over before it has been killed."""

Start = Callable[[Robot], ForkServerProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts trainers, which are ended after the test."""
    started: list[ForkServerProcess] = []

    def start(robot: Robot) -> ForkServerProcess:
        process = FORKS.Process(
            target=run_trainer, args=(robot.trainer_arguments(), robot.trainer_log)
        )
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.join(20)


def workers(trainer: int | None) -> list[psutil.Process]:
    """The processes that train."""
    found = []
    for process in psutil.Process(trainer).children():
        with contextlib.suppress(psutil.Error):
            # pytest has other children, those of multiprocessing.
            if "multiprocessing" not in " ".join(process.cmdline()):
                found.append(process)
    return found


def worker(trainer: int | None) -> psutil.Process:
    """The one that trains."""
    (found,) = wait_until(lambda: workers(trainer), "a process that trains")
    process: psutil.Process = found
    return process


def test_whatever_is_killed_the_update_is_bit_for_bit_what_it_would_have_been(
    robot: Robot, tiny_policy: Path, start: Start
) -> None:
    job = robot.jobs.add(robot.order(steps=STEPS))
    undisturbed = train(
        policy_path=tiny_policy,
        processors=robot.state.processors,
        dataset_root=robot.dataset,
        config=job.order.train,
        device="cpu",
        threads=1,
    )

    def after(step: int) -> int:
        def reached() -> int:
            now = job.progress.step
            return now if job.checkpoint and now > step else 0

        reached_step: int = wait_until(reached, f"a step after {step}")
        assert not job.over
        return reached_step

    # Killed while it trains, the trainer begins another from the checkpoint …
    trainer = start(robot)
    step = after(0)
    worker(trainer.pid).kill()
    step = after(step)
    # … and so does another trainer, after all of it was killed, with no process left behind.
    training = worker(trainer.pid)
    trainer.kill()
    wait_until(lambda: not training.is_running(), "its end")
    start(robot)
    wait_until(lambda: job.over, "the update")

    assert result(job)["update-digest"] == weights.digest(undisturbed.trainable)
    assert result(job)["report"]["error-after"] == undisturbed.error_after
    assert result(job)["report"]["error-before"] == undisturbed.error_before
    assert result(job)["metrics"]["loss-first"] == undisturbed.loss_first


def test_it_pauses_while_the_arm_works_and_goes_on_after(robot: Robot, start: Start) -> None:
    robot.configure({"idle_s": 1.0})
    with Arm(robot.state) as arm:
        job = robot.jobs.add(robot.order(steps=3))
        arm.drives = True
        trainer = start(robot)
        wait_until(lambda: job.note == "busy: the arm works", "waiting")
        assert workers(trainer.pid) == []

        arm.drives = False
        training = worker(trainer.pid)
        assert training.nice() >= 10
        arm.drives = True
        wait_until(lambda: training.status() == psutil.STATUS_STOPPED, "its stop")
        wait_until(lambda: job.note == "busy: the arm works", "saying so")
        arm.drives = False
        wait_until(lambda: job.over, "the update")

    assert result(job)["metrics"]["num-examples"] == 48
    assert job.note == ""


def test_without_a_job_it_is_light_and_it_is_alone(robot: Robot) -> None:
    def fresh() -> subprocess.Popen[bytes]:
        with robot.trainer_log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "agent.federation.trainer", *robot.trainer_arguments()],
                stderr=log,
            )

    def locked() -> bool:
        return ".trainer" in {p.name for p in robot.state.jobs.glob(".*")}

    first = fresh()
    try:
        wait_until(locked, "its lock")
        assert fresh().wait(60) == 2
        assert "another trainer works" in robot.trainer_log.read_text()
        maps = psutil.Process(first.pid).memory_maps()
        assert [m.path for m in maps if "libtorch" in m.path or "lerobot" in m.path] == []
    finally:
        first.terminate()
        assert first.wait(20) == 0


# In this process, with processes that are ended before they have imported anything -------------


@pytest.fixture
def reason() -> list[str]:
    """Why nothing may be trained; empty: it may be."""
    return []


@pytest.fixture
def trainer(robot: Robot, reason: list[str]) -> Iterator[Trainer]:
    trainer = Trainer(
        robot.node,
        why_not=lambda: reason[0] if reason else "",
        hold_s=0.2,
        back_off_s=(0.0,),
    )
    yield trainer
    trainer.end()


def test_what_pauses_for_long_gives_its_memory_back(
    robot: Robot, trainer: Trainer, reason: list[str]
) -> None:
    job = robot.jobs.add(robot.order())
    trainer.poll()
    training = worker(os.getpid())
    assert job.attempts.count == 1
    reason.append("hot: the processor has 91 °C, the limit is 85")

    wait_until(lambda: (trainer.poll(), not training.is_running())[1], "its end")

    assert job.note == reason[0]
    # Nobody's fault.
    assert job.attempts.count == 0


def test_a_job_whose_process_always_dies_fails_and_says_how(robot: Robot, trainer: Trainer) -> None:
    job = robot.jobs.add(robot.order())

    def killed() -> bool:
        trainer.poll()
        for process in workers(os.getpid()):
            process.kill()
        return job.over

    wait_until(killed, "giving up")

    assert "its process was killed by SIGKILL" in job.failed
    assert f"{MOST_ATTEMPTS} times without getting on" in job.failed


def test_a_job_that_is_taken_away_ends_its_process(robot: Robot, trainer: Trainer) -> None:
    job: Job = robot.jobs.add(robot.order())
    trainer.poll()
    training = worker(os.getpid())

    robot.jobs.remove(job.name)
    trainer.poll()

    assert not training.is_running()
    assert not trainer.poll()
