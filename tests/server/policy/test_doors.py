"""Who gets in, by real TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.policy.remote.session import AnswerError, Session
from server.policy.model import Model
from server.tokens import Tokens
from tests.datasets import TASK
from tests.server.policy.certificates import Authority
from tests.server.policy.conftest import about, hosted, sight

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> dict[str, str]:
    certificate, key = authority.issue("localhost")
    return {"tls_cert": str(certificate), "tls_key": str(key)}


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(AnswerError) as caught:
        await call
    return caught.value.code, str(caught.value)


async def ask(session: Session) -> None:
    state, images = sight(1)
    await session.ask(session.request(1, 1, 0, state, images, TASK), timeout_s=60)


async def test_a_token_is_asked_for_and_must_be_the_robots_own(
    model: Model, authority: Authority, tls: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "tokens.json"
    tokens = Tokens(path)
    left, right = tokens.add("left"), tokens.add("right")
    root = {"root_certificates": authority.certificate.read_bytes()}

    async with hosted(model, **tls, tokens=str(path)) as server:
        session = await server.open("left", token=left, **root)
        await ask(session)

        code, text = await refusal(server.open("left", **root))
        assert (code, "asks for a token" in text) == (Code.UNAUTHENTICATED, True)
        code, text = await refusal(server.open("left", token="guess", **root))
        assert (code, "is none of this server's" in text) == (Code.UNAUTHENTICATED, True)
        code, text = await refusal(server.open("left", token=right, **root))
        assert (code, "is right's" in text) == (Code.UNAUTHENTICATED, True)

        thief = await server.open("right", token=right, **root)
        thief._welcome.session = session._welcome.session
        assert await refusal(ask(thief)) == (
            Code.PERMISSION_DENIED,
            "the session is another robot's",
        )
        await thief.close()

        # Voided, it is refused with the next question.
        tokens.remove("left")
        assert (await refusal(ask(session)))[0] is Code.UNAUTHENTICATED
        await session.close()


async def test_who_has_no_token_is_refused_before_a_message_is_read(
    model: Model, tmp_path: Path
) -> None:
    """Here: one that never comes."""
    path = tmp_path / "tokens.json"
    token = Tokens(path).add("left")
    async with hosted(model, tokens=str(path)) as server, server.endpoint().channel() as channel:
        for name in ("Open", "Predict", "Close", "Status"):
            call = channel.stream_unary(f"/armada.policy.v1.Policy/{name}")(timeout=60)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is Code.UNAUTHENTICATED
            assert "asks for a token" in caught.value.details()
        assert server.service.status().refused == 4
        await (await server.open("left", token=token)).close()


async def test_a_server_that_another_authority_vouches_for_is_not_told_the_token(
    model: Model, tls: dict[str, str], tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    async with hosted(model, **tls) as server:
        code, text = await refusal(
            server.open(root_certificates=stranger.certificate.read_bytes(), token="secret")
        )
        assert code is Code.UNAVAILABLE
        assert "handshake failed" in text
        assert (await refusal(server.open()))[0] is Code.UNAVAILABLE


async def test_a_certificate_says_which_robot_it_is(
    model: Model, authority: Authority, tls: dict[str, str], tmp_path: Path
) -> None:
    def shows(name: str, by: Authority) -> dict[str, bytes]:
        certificate, key = by.issue(name)
        return {
            "root_certificates": authority.certificate.read_bytes(),
            "client_certificate": certificate.read_bytes(),
            "client_key": key.read_bytes(),
        }

    async with hosted(model, **tls, tls_client_ca=str(authority.certificate)) as server:
        session = await server.open("left", **shows("left", authority))
        await ask(session)
        await session.close()
        code, text = await refusal(server.open("left", **shows("right", authority)))
        assert (code, "is right's" in text) == (Code.UNAUTHENTICATED, True)
        # Signed by nobody known: TLS itself says no.
        strange = shows("left", Authority(tmp_path))
        assert (await refusal(server.open("left", **strange)))[0] is Code.UNAVAILABLE


async def test_on_loopback_a_robot_is_who_it_says(model: Model) -> None:
    async with hosted(model) as server:
        left, right = await server.open("left"), await server.open("right")
        assert left._welcome.session != right._welcome.session
        await ask(left)
        await ask(right)
        await left.close()
        await right.close()
    assert about("left").request().robot == "left"
