"""A question that was not answered in time: was it the server's model that was silent, or the link?

A model that hangs leaves its server answering pings and opening sessions. So it is asked the same
question again, and may be asked others when it has answered that one. Where the link was silent,
by its pings or because nobody could be reached, a session that opens is all that was wanting:
nobody wants the old question's answer any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import grpc

from agent.policy.remote.session import PING_LIMIT_S, PING_S, AnswerError, Session
from agent.proto import policy_pb2 as pb

SILENT = grpc.StatusCode.DEADLINE_EXCEEDED
_NOT_THERE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

_PINGED_S = PING_S + PING_LIMIT_S + 1.0
"""Within which pings have told whether a connection is of any use."""


class Silence:
    """Begins with a question that was not answered.

    Args:
        longest_s: How long an answer to it is waited for.
        answered: Told when the question was asked that was answered after all.
    """

    def __init__(self, longest_s: float, answered: Callable[[float], None]) -> None:
        self._longest_s = longest_s
        self._answered = answered
        self._question: pb.PredictRequest | None = None

    @property
    def lasts(self) -> bool:
        return self._question is not None

    def begins(self, question: pb.PredictRequest) -> None:
        """It was not answered in time."""
        self._question = question

    async def is_over(self, session: Session) -> bool:
        """Whether this session may be used. Control doesn't wait for the answer."""
        if self._question is None:
            return True
        began = time.perf_counter()
        try:
            await session.ask(session.adopt(self._question), timeout_s=self._longest_s)
        except AnswerError as error:
            if error.code is SILENT:
                return False
            # A refusal is an answer: the next question shows what comes of it.
            self._question = None
            return error.code not in _NOT_THERE
        self._question = None
        self._answered(began)
        return True

    async def find_out(self, session: Session) -> None:
        """Whether it was the link, before leave is taken of a session that it began in."""
        try:
            async with asyncio.timeout(_PINGED_S):
                await session.lost()
            self._question = None
        except TimeoutError:
            pass
        finally:
            await session.close()

    def unreached(self, error: AnswerError) -> None:
        """No session could be had."""
        if error.code is SILENT or error.code in _NOT_THERE:
            self._question = None
