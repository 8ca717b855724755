"""A robot with a tiny policy and three episodes, and its jobs."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.federation.jobs.job import Job
from agent.federation.jobs.store import JobStore
from agent.federation.wire import Order
from agent.paths import StateDir
from agent.policy.store import ModelStore
from agent.training.config import TrainConfig
from agent.training.home import Home

BUSY_FOR_S = 120.0


class Robot:
    """One robot's state, and what its owner set.

    Args:
        root: Its state folder.
        dataset: Its episodes.
        training: ``--training.…``
        server: ``--federation.server``
    """

    def __init__(
        self, root: Path, dataset: Path, training: dict[str, Any] | None = None, server: str = ""
    ) -> None:
        self.state = StateDir(root)
        self.state.create()
        self.dataset = dataset
        self.node = {
            "name": "left",
            "state-dir": str(root),
            "dataset-root": str(dataset),
            "threads": 1,
        }
        self.configure(training or {}, server)
        self.jobs = JobStore(self.state.jobs)

    def configure(self, training: dict[str, Any], server: str = "") -> None:
        own = {
            "device": "cpu",
            "training": {"min_free_gb": 0.0, "max_temperature": 0.0, **training},
            "federation": {"server": server},
        }
        self.state.config.write_text(yaml.safe_dump(own))

    @property
    def home(self) -> Home:
        return Home.of(self.node)

    def order(self, **change: Any) -> Order:
        """An order that starts from the model that the robot has."""
        model = ModelStore(self.state.models).current
        steps = change.pop("steps", 2)
        order = Order(
            work="train",
            round_id=3,
            server_round=1,
            base_digest=model.base_digest if model else "sha256:" + "0" * 64,
            start_digest=model.trainable_digest if model else "sha256:" + "1" * 64,
            start_version=0,
            train=TrainConfig(steps=steps, batch_size=2),
        )
        return dataclasses.replace(order, **change)

    def trainer_arguments(self, checkpoint_s: float = 0.0) -> list[str]:
        return [
            f"--state_dir={self.state.root}",
            "--name=left",
            f"--dataset_root={self.dataset}",
            "--threads=1",
            f"--checkpoint_s={checkpoint_s}",
        ]

    @property
    def trainer_log(self) -> Path:
        return self.state.logs / "trainer.log"


def wait_until(is_so: Callable[[], Any], what: str, timeout_s: float = BUSY_FOR_S) -> Any:
    """What ``is_so`` returned when it was no longer false."""
    deadline = time.monotonic() + timeout_s
    while not (value := is_so()):
        assert time.monotonic() < deadline, f"{what} didn't happen within {timeout_s:g} s"
        time.sleep(0.02)
    return value


def result(job: Job) -> dict[str, Any]:
    """What a finished job has to say."""
    assert not job.failed, job.failed
    said = job.result
    assert said is not None
    return said


@pytest.fixture
def dataset(small_dataset: Path, tmp_path: Path) -> Path:
    """A copy: what is known of the use of its episodes lies beside it."""
    return Path(shutil.copytree(small_dataset, tmp_path / "episodes"))


@pytest.fixture
def robot(tmp_path: Path, tiny_policy: Path, dataset: Path) -> Robot:
    robot = Robot(tmp_path / "robot", dataset)
    ModelStore(robot.state.models).ensure_current(str(tiny_policy))
    return robot
