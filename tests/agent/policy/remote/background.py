"""A policy server in a thread of the test's process, at an address that stays when it goes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from server.policy.model import Model
from server.policy.service import PolicyService
from tests.helpers import free_port
from tests.server.policy.conftest import hosted

_WAIT_S = 60.0


class Background:
    """Goes down and comes up as a test says.

    Args:
        fields: Of its configuration.
    """

    def __init__(self, **fields: Any) -> None:
        self.port = free_port()
        self._fields = fields
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stack: AsyncExitStack | None = None
        self.service: PolicyService

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def up(self, model: Model) -> None:
        self._do(self._up(model))

    def down(self) -> None:
        """Hang up on everybody, as the kernel does for a process that was killed."""
        if self._stack is not None:
            self._do(self._stack.aclose())
            self._stack = None

    def swap(self, model: Model) -> None:
        self._loop.call_soon_threadsafe(self.service.swap, model)

    def end(self) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_WAIT_S)
        self._loop.close()

    async def _up(self, model: Model) -> None:
        self._stack = AsyncExitStack()
        served = await self._stack.enter_async_context(
            hosted(model, listen=self.address, **self._fields)
        )
        self.service = served.service

    def _do(self, what: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(_WAIT_S)
