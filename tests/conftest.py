"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from agent.recorder.scheduling import no_realtime

if TYPE_CHECKING:
    from agent.policy.load import LoadedPolicy

# Tiny models on two cores: more threads only fight each other. Children inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")

# How long an example takes is the host's business.
settings.register_profile("armada", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("armada")

SHARED = Path(os.environ.get("ARMADA_SHARED", Path(__file__).parents[2] / "shared"))


WAITING = (
    "tests/server/rounds/test_on_flower.py",
    "tests/server/test_whole_path.py",
    "tests/server/simulation/test_engine.py",
    "tests/server/test_deployment.py",
    "tests/server/test_flower_cli.py",
    "tests/server/test_nodes.py",
    "tests/server/test_broker.py",
    "tests/agent/federation/test_executor.py",
    "tests/agent/link/",
)
"""They wait for Flower's processes and for brokers, and hardly compute: one worker has all of them,
one after the other, beside which others keep the cores busy."""

LONGEST_FIRST = (
    *WAITING,
    "tests/whole_path/",
    "tests/benchmarks/",
    "tests/robots/arm/test_matrix.py",
    "tests/agent/calibrate/",
    "tests/agent/policy/",
    "tests/agent/demo/",
    "tests/robots/test_mujoco.py",
)
"""Whole files go to one worker each: a long one that begins last keeps the other worker idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; within a file the order stays."""

    def rank(item: pytest.Item) -> int:
        return next((i for i, p in enumerate(LONGEST_FIRST) if item.nodeid.startswith(p)), 99)

    items.sort(key=rank)


class _Scheduling(LoadFileScheduling):
    """Whole files, and those that wait all to the worker that has the first."""

    def _split_scope(self, nodeid: str) -> str:
        return WAITING[0] if nodeid.startswith(WAITING) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    """Instead of ``--dist loadfile``'s own."""
    return _Scheduling(config, log)


@pytest.fixture(autouse=True)
def _left_as_found() -> Iterator[None]:
    """A command that a test calls in this process leaves its words and its signal mask behind:
    LeRobot's parsers and child processes would take them for their own. And LeRobot's AV1 encoder
    leaves root's tests, and all that they start, at a real-time priority."""
    no_realtime()
    words, mask = sys.argv, signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    no_realtime()
    sys.argv = words
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# LeRobot is imported where it is needed: a test of what doesn't need it starts at once.


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SmolVLA folder, for the robots of ``small_dataset``; copy it before changing it."""
    from tests.datasets import make_policy

    return make_policy(tmp_path_factory.mktemp("policies") / "tiny")


@pytest.fixture(scope="session")
def other_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, with other weights."""
    from tests.datasets import make_policy

    return make_policy(tmp_path_factory.mktemp("policies") / "other", seed=1)


@pytest.fixture(scope="session")
def loaded(tiny_policy: Path) -> LoadedPolicy:
    """The tiny policy in memory; tests leave its weights as they are."""
    from agent.policy.load import load_policy

    return load_policy(str(tiny_policy))


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short episodes with a camera; read only."""
    from tests.datasets import make_dataset

    return make_dataset(tmp_path_factory.mktemp("datasets") / "small")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """``../shared/data``: real recordings that are not part of the project."""
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip(f"real recordings are absent: {data} (set ARMADA_SHARED to their parent)")
    return data
