"""Getting through to a policy server: again and again, without a storm.

An attempt that hears nothing for a second is not waited for alone: the next one starts beside it.
When a link that swallowed everything is back, that finds out within a second, however long the
older attempts would still wait for their lost packets.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

import grpc

from agent.policy.remote.session import About, AnswerError, Endpoint, Session

ATTEMPT_S = 6.0
"""TCP, TLS and the welcome over a link that takes 1.5 s one way."""

_BESIDE_S = 1.0
_MOST = 6

_FIRST_S = 0.1
_UNREACHED_S = 2.0
_REFUSED_S = 10.0
"""The longest waits: for a server that is not there, and for one that says no."""

_NOT_THERE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Dialler:
    """Opens sessions.

    Args:
        endpoint: The server.
        about: The robot.
        failed: Told why an attempt came to nothing.
    """

    def __init__(
        self, endpoint: Endpoint, about: About, failed: Callable[[AnswerError], None]
    ) -> None:
        self._endpoint = endpoint
        self._about = about
        self._failed = failed
        self._failures = 0

    def succeeded(self) -> None:
        """A chunk came: the next failure is the first again."""
        self._failures = 0

    async def session(self) -> Session:
        """A session, as soon as one can be had."""
        attempts: set[asyncio.Task[Session]] = set()
        pause_s = self._pause_s(_UNREACHED_S) if self._failures else 0.0
        try:
            while True:
                if not attempts:
                    await asyncio.sleep(pause_s)
                if len(attempts) < _MOST:
                    attempts.add(asyncio.create_task(self._attempt()))
                limit_s = _BESIDE_S
                while True:
                    done, attempts = await asyncio.wait(
                        attempts, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
                    )
                    if opened := [task.result() for task in done if task.exception() is None]:
                        await _close(opened[1:])
                        return opened[0]
                    if not done:
                        break
                    pause_s = max(self._note(task.exception()) for task in done)
                    if not attempts:
                        break
                    limit_s = pause_s
        finally:
            self._failures += 1
            await _cancel(attempts)

    async def _attempt(self) -> Session:
        return await Session.open(self._endpoint, self._about, timeout_s=ATTEMPT_S)

    def _note(self, error: BaseException | None) -> float:
        """Tell why an attempt failed; how long to wait before the next."""
        if not isinstance(error, AnswerError):
            assert error is not None
            raise error
        self._failures += 1
        self._failed(error)
        longest_s = _UNREACHED_S if error.code in _NOT_THERE else _REFUSED_S
        return max(error.retry_after_s or 0.0, self._pause_s(longest_s))

    def _pause_s(self, longest_s: float) -> float:
        """Doubled each time; half of it by chance, so that robots don't come back all at once."""
        pause_s = min(longest_s, _FIRST_S * 2.0 ** min(self._failures, 16))
        return pause_s * random.uniform(0.5, 1.0)


async def _cancel(attempts: set[asyncio.Task[Session]]) -> None:
    for task in attempts:
        task.cancel()
    results = await asyncio.gather(*attempts, return_exceptions=True)
    await _close([result for result in results if isinstance(result, Session)])


async def _close(sessions: list[Session]) -> None:
    for session in sessions:
        with contextlib.suppress(AnswerError):
            await session.close()
