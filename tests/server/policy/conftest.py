"""What the tests of the policy server share: the tiny model, and a server in this process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.ipc import FrameLayout, ImageSpec
from agent.policy.remote.session import About, Endpoint, Session
from server.policy.batcher import Batcher
from server.policy.config import PolicyServerConfig, ServedPolicyRef
from server.policy.model import Model, load_model
from server.policy.serve import make_doors, make_server
from server.policy.service import PolicyService
from tests.datasets import CAMERA, JOINTS, SIZE

LAYOUT = FrameLayout(JOINTS, JOINTS, (ImageSpec(CAMERA, SIZE, SIZE),))


@pytest.fixture(scope="session")
def model(tiny_policy: Path) -> Model:
    return load_model(PolicyServerConfig(policy=policy_of(tiny_policy)))


@pytest.fixture(scope="session")
def other_model(other_policy: Path) -> Model:
    return load_model(PolicyServerConfig(policy=policy_of(other_policy)))


def policy_of(path: Path) -> ServedPolicyRef:
    return ServedPolicyRef(path=str(path))


@dataclass
class Hosted:
    """A server that listens."""

    address: str
    service: PolicyService
    batcher: Batcher

    def endpoint(self, **fields: Any) -> Endpoint:
        return Endpoint(address=self.address, **fields)

    async def open(self, robot: str = "arm", **fields: Any) -> Session:
        return await Session.open(self.endpoint(**fields), about(robot), timeout_s=20)


@contextlib.asynccontextmanager
async def hosted(model: Model, *, start: bool = True, **fields: Any) -> AsyncIterator[Hosted]:
    """Serve a loaded model by real gRPC; with ``start=False`` its batcher waits to be started, so
    that a test can fill the queue first."""
    config = PolicyServerConfig(
        policy=policy_of(Path(str(model.config.pretrained_path))),
        **{"listen": "127.0.0.1:0", **fields},
    )
    batcher = Batcher(model, max_batch=config.max_batch)
    service = PolicyService(
        batcher, make_doors(config), max_robots=config.max_robots, policy=config.policy.path
    )
    server, _, port = make_server(config, service)
    await server.start()
    if start:
        batcher.start()
    try:
        yield Hosted(f"localhost:{port}", service, batcher)
    finally:
        await server.stop(0)
        if start or batcher.alive:
            batcher.end(20)


def about(robot: str = "arm", **fields: Any) -> About:
    return About(
        **{
            "robot": robot,
            "fps": 30,
            "layout": LAYOUT,
            "rename_map": {},
            "jpeg_quality": 90,
            **fields,
        }
    )


def sight(number: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """State and pictures of one robot, different for each number."""
    rng = np.random.default_rng(number)
    state = rng.uniform(-40, 40, len(JOINTS)).astype(np.float32)
    image = np.full((SIZE, SIZE, 3), rng.integers(0, 255, 3), np.uint8)
    return state, {CAMERA: image}
