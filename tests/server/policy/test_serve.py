"""The process around the service: a pass that hangs, a model that loads, SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.policy.remote.session import AnswerError, Endpoint, Session
from server.policy.config import PolicyServerConfig
from server.policy.model import Model, Watch
from server.policy.serve import HUNG, Process
from tests.server.policy.conftest import about, policy_of
from tests.server.policy.test_service import ask

WAIT_S = 60.0


async def test_a_pass_that_does_not_end_ends_the_process(model: Model) -> None:
    """Here: one that takes longer than a tenth of a millisecond, as all do."""
    path = Path(str(model.config.pretrained_path))
    config = PolicyServerConfig(policy=policy_of(path), listen="127.0.0.1:0", hang_s=1e-4)
    told: dict[str, dict[str, Any]] = {}
    process = Process(config, model, Watch(str(path)), told.__setitem__)
    running = asyncio.create_task(process.run())
    async with asyncio.timeout(WAIT_S):
        while "ready" not in told:
            await asyncio.sleep(0.01)
    endpoint = Endpoint(address=told["ready"]["listen"])
    session = await Session.open(endpoint, about(), timeout_s=20)
    while not running.done():
        with contextlib.suppress(AnswerError):
            await ask(session, 1)

    assert await running == HUNG
    await session.close()


async def test_what_serves_is_watched_over_while_another_model_loads(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take minutes."""
    go_on = threading.Event()

    def slow(_: PolicyServerConfig) -> Model:
        assert go_on.wait(WAIT_S)
        return model

    monkeypatch.setattr("server.policy.serve.load_model", slow)
    monkeypatch.setattr("server.policy.serve._WATCH_S", 0.01)
    path = Path(str(model.config.pretrained_path))
    config = PolicyServerConfig(policy=policy_of(path), listen="127.0.0.1:0", report_s=0.01)
    told: list[str] = []
    process = Process(config, model, Watch(str(path)), lambda event, _: told.append(event))
    running = asyncio.create_task(process.run())

    async def hear(event: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while event not in told:
                await asyncio.sleep(0.01)

    await hear("ready")
    signal.raise_signal(signal.SIGHUP)
    async with asyncio.timeout(WAIT_S):
        while process._loading is None:
            await asyncio.sleep(0.01)
    told.clear()
    await hear("status")
    assert "swapped" not in told
    go_on.set()
    await hear("swapped")
    signal.raise_signal(signal.SIGTERM)
    assert await running == 0
