"""Another model in the place of the one that serves, by real gRPC."""

from __future__ import annotations

from dataclasses import replace

import grpc

from server.policy.model import Model
from tests.server.policy.conftest import hosted
from tests.server.policy.test_service import ask, code_of

Code = grpc.StatusCode


async def test_another_model_is_served_to_sessions_that_it_fits(
    model: Model, other_model: Model
) -> None:
    async with hosted(model) as server:
        session = await server.open()
        assert (await ask(session, 1))[1].digest == model.digest
        server.service.swap(other_model)
        assert (await ask(session, 1))[1].digest == other_model.digest
        await session.close()


async def test_a_session_that_another_model_does_not_fit_is_over(
    model: Model, other_model: Model
) -> None:
    async with hosted(model) as server:
        session = await server.open()
        server.service.swap(replace(other_model, chunk_size=12))
        assert (await code_of(ask(session, 1)))[0] is Code.NOT_FOUND
        await session.reopen(timeout_s=20)
        assert (session.digest, session.chunk_size) == (other_model.digest, 12)
        await session.close()


async def test_who_opens_a_session_while_the_old_model_computes_is_told_of_the_new_one(
    model: Model, other_model: Model
) -> None:
    async with hosted(model, start=False) as server:
        # What a swap finds in the middle of a pass: the new model waits for its end.
        server.service.swap(replace(other_model, chunk_size=12))
        session = await server.open()
        assert (session.digest, session.chunk_size) == (other_model.digest, 12)
        server.batcher.start()
        assert (await ask(session, 1))[1].digest == other_model.digest
        await session.close()
