"""What ``armada doctor`` says of a policy server, by a real one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agent.doctor.check import Finding, Verdict
from agent.doctor.policy_server import policy_server
from agent.inference_config import InferenceConfig
from agent.ipc import FrameLayout
from server.policy.model import Model
from tests.helpers import free_port
from tests.server.policy.conftest import LAYOUT, hosted


def look(address: str, layout: FrameLayout | None = LAYOUT) -> Finding:
    (found,) = policy_server(InferenceConfig(server=address), "arm", 30.0, layout, {})
    return found


async def test_a_server_that_has_a_policy_for_this_robot(model: Model) -> None:
    async with hosted(model) as server:
        found = await asyncio.to_thread(look, server.address)
    assert found.verdict is Verdict.OK
    assert "has a policy that fits" in found.detail
    assert model.loaded.digest.removeprefix("sha256:")[:12] in found.detail


async def test_a_policy_for_another_robot_is_a_failure_that_says_so(model: Model) -> None:
    other = replace(LAYOUT, action_names=LAYOUT.action_names[:3])
    async with hosted(model) as server:
        found = await asyncio.to_thread(look, server.address, other)
    assert found.verdict is Verdict.FAIL
    assert "action" in found.detail


def test_nobody_there() -> None:
    found = look(f"127.0.0.1:{free_port()}")
    assert found.verdict is Verdict.FAIL
    assert "armada policy-server" in found.remedy


def test_without_a_robot_there_is_nothing_to_ask_for() -> None:
    assert look("127.0.0.1:1", None).verdict is Verdict.SKIP
