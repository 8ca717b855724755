"""The service by real gRPC, with the robots' own client."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.ipc import FrameLayout, ImageSpec
from agent.policy.predict import Ask
from agent.policy.remote import wire
from agent.policy.remote.session import About, AnswerError, Session
from agent.proto import policy_pb2 as pb
from agent.proto.policy_pb2_grpc import PolicyStub
from server.policy.batcher import Batcher
from server.policy.decode import decode_ask
from server.policy.model import Model
from server.policy.view import status_dict
from tests.datasets import CAMERA, JOINTS, SIZE, TASK
from tests.helpers import free_port
from tests.server.policy.conftest import Hosted, about, hosted, sight

Code = grpc.StatusCode
WAIT_S = 60.0


async def ask(asked: Session, number: int, **fields: Any) -> tuple[np.ndarray, pb.PredictReply]:
    state, images = sight(number)
    request = asked.request(number, 40 + number, 7, state, images, TASK, seed=number)
    for name, value in fields.items():
        setattr(request, name, value)
    return await asked.ask(request, timeout_s=WAIT_S)


async def code_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(AnswerError) as caught:
        await call
    return caught.value.code, str(caught.value)


def alone(model: Model, number: int) -> np.ndarray:
    """The policy's answer to one robot, with the very picture that was sent."""
    state, images = sight(number)
    found = model.predict(
        [
            Ask(
                state=state,
                images={f"observation.images.{CAMERA}": images[CAMERA]},
                task=TASK,
                seed=number,
            )
        ],
        [None],
    )
    return found[0].chunk


async def test_a_robot_is_told_what_to_send_and_what_comes_back(model: Model) -> None:
    async with hosted(model) as server:
        session = await server.open()

        assert session.digest == model.digest
        assert session.chunk_size == model.chunk_size == 30
        chunk, reply = await ask(session, 3)
        assert chunk.shape == (30, 6)
        assert (reply.request, reply.tick, reply.epoch) == (3, 43, 7)
        assert (reply.digest, reply.rows, reply.batch) == (model.digest, 30, 1)
        assert reply.infer_s > 0
        await session.close()


async def test_robots_that_ask_together_share_a_pass_and_get_their_own_chunks(
    model: Model,
) -> None:
    async with hosted(model, start=False) as server:
        sessions = [await server.open(f"arm{n}") for n in range(4)]
        asking = [asyncio.create_task(ask(s, n)) for n, s in enumerate(sessions)]
        await queued(server.batcher, 4)
        server.batcher.start()
        answers = await asyncio.gather(*asking)

    for n, (chunk, reply) in enumerate(answers):
        assert reply.batch == 4
        # A picture of one colour survives JPEG within a level or two.
        assert np.abs(chunk - alone(model, n)).max() < 0.02 * np.abs(chunk).max()


async def queued(batcher: Batcher, length: int) -> None:
    """Wait until so many questions are there, no more and no fewer."""
    async with asyncio.timeout(WAIT_S):
        while len(batcher._queue) != length:
            await asyncio.sleep(0.01)


async def test_a_chunk_of_fifty_is_small(model: Model) -> None:
    async with hosted(model) as server:
        session = await server.open()
        chunk, reply = await ask(session, 1)
        await session.close()
    rest = reply.ByteSize() - chunk.nbytes

    assert rest + 50 * 6 * 4 < 1500


async def test_a_policy_that_does_not_fit_is_told_and_what_would(model: Model) -> None:
    async with hosted(model) as server:
        wrong = about(rename_map={f"observation.images.{CAMERA}": "observation.images.top"})
        code, text = await code_of(Session.open(server.endpoint(), wrong, timeout_s=20))
        assert code is Code.FAILED_PRECONDITION
        assert "the policy needs the camera observation.images.front" in text


async def test_another_version_of_the_protocol_is_told(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosted(model) as server:
        request = about().request()
        request.protocol = 99
        async with server.endpoint().channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await PolicyStub(channel).Open(request, timeout=WAIT_S)
    assert caught.value.code() is Code.FAILED_PRECONDITION
    assert "version 99 of the protocol, this server 1" in caught.value.details()


async def test_a_restarted_server_knows_no_session_and_is_asked_for_another(
    model: Model,
) -> None:
    async with hosted(model) as server:
        session = await server.open()
        assert (await code_of(ask(session, 1, session="of an earlier process")))[0] is (
            Code.NOT_FOUND
        )
        await session.reopen(timeout_s=20)
        await ask(session, 1)
        await session.close()


async def test_what_would_come_too_late_is_not_computed(model: Model) -> None:
    async with hosted(model, start=False) as server:
        session = await server.open()
        state, images = sight(1)
        request = session.request(1, 1, 0, state, images, TASK)
        code, text = await code_of(session.ask(request, timeout_s=0.2))
        assert code is Code.DEADLINE_EXCEEDED
        assert "did not answer in time" in text
        await session.close()
        # The robot's deadline is the server's: nothing of it is left.
        await queued(server.batcher, 0)


async def test_a_question_waits_as_long_as_its_robot_does(model: Model) -> None:
    async with hosted(model, start=False) as server:
        session = await server.open()
        state, images = sight(1)
        request = session.request(1, 1, 0, state, images, TASK)
        asking = asyncio.create_task(session.ask(request, timeout_s=500))
        await queued(server.batcher, 1)
        assert server.batcher._queue[0].deadline > time.monotonic() + 300
        server.batcher.start()
        await asking
        await session.close()


async def test_a_question_ends_in_an_error_when_its_connection_is_closed(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that ends in good order says so at once, with questions still open: the robot leaves
    it, and control must hear that no answer comes."""
    monkeypatch.setattr("agent.policy.remote.session._GRACE_S", 0.01)
    async with hosted(model, start=False) as server:
        session = await server.open()
        asking = asyncio.create_task(ask(session, 1))
        await queued(server.batcher, 1)
        await session.close()
        code, text = await code_of(asking)
        assert code is Code.CANCELLED
        assert "was closed" in text


async def test_a_busy_server_says_when_to_come_back(model: Model) -> None:
    async with hosted(model, start=False, max_batch=1) as server:
        sessions = [await server.open(f"arm{n}") for n in range(3)]
        server.batcher._pace.note(1, 20.0)
        first = asyncio.create_task(ask(sessions[0], 1))
        await queued(server.batcher, 1)
        second = asyncio.create_task(ask(sessions[1], 2))
        await queued(server.batcher, 2)
        # Three passes of more than WAIT_S / 3 each, for one who has WAIT_S.
        server.batcher._pace.note(1, 100.0)
        with pytest.raises(AnswerError) as shed:
            await ask(sessions[2], 3)
        assert shed.value.code is Code.RESOURCE_EXHAUSTED
        assert shed.value.retry_after_s is not None
        assert shed.value.retry_after_s > 1.0
        server.batcher.start()
        await asyncio.gather(first, second)
        assert server.service.status().sheds == 1


async def test_no_more_robots_are_taken_than_it_serves(model: Model) -> None:
    async with hosted(model, max_robots=1) as server:
        session = await server.open("one")
        again = await server.open("one")
        code, text = await code_of(server.open("two"))
        assert code is Code.RESOURCE_EXHAUSTED
        assert "this server has its 1 robots" in text
        await session.close()
        await again.close()
        await (await server.open("two")).close()


async def test_no_more_calls_are_taken_than_robots_make(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.policy.serve._CALLS_OF_A_ROBOT", 1)
    monkeypatch.setattr("server.policy.serve._CALLS_BESIDE", 1)
    async with hosted(model, start=False, max_robots=1) as server:
        sessions = [await server.open() for _ in range(2)]
        asking = [asyncio.create_task(ask(s, n)) for n, s in enumerate(sessions)]
        await queued(server.batcher, 2)
        with pytest.raises(AnswerError) as caught:
            await server.open()
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        assert "limit exceeded" in str(caught.value)
        assert caught.value.retry_after_s is None
        server.batcher.start()
        await asyncio.gather(*asking)
        await (await server.open()).close()


async def test_a_message_is_no_larger_than_an_observation_can_be(model: Model) -> None:
    # Not the robots' own channel: that would not send it.
    async with hosted(model) as server, grpc.aio.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/armada.policy.v1.Policy/Predict")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(bytes(wire.MAX_MESSAGE_B + 1), timeout=WAIT_S)
        assert caught.value.code() is Code.RESOURCE_EXHAUSTED
        assert "larger than max" in caught.value.details()


async def test_nonsense_is_refused_by_name_and_the_next_robot_is_served(model: Model) -> None:
    async with hosted(model) as server:
        session = await server.open()
        code, text = await code_of(ask(session, 1, state=b"no numbers"))
        assert (code, text) == (
            Code.INVALID_ARGUMENT,
            "state: 10 bytes are no rows of 6 float32",
        )
        assert (await code_of(ask(session, 1, plan=bytes(24))))[1] == (
            "plan: this session continues no plan"
        )
        await ask(session, 2)
        await session.close()


async def test_any_bytes_on_the_wire_are_answered(model: Model) -> None:
    """Not only messages with wrong fields: what is no message at all."""
    async with hosted(model) as server:
        session = await server.open()
        name = session._welcome.session

        @given(data=st.binary(max_size=200), call=st.sampled_from(["Open", "Predict", "Close"]))
        @settings(
            max_examples=60,
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        def send(data: bytes, call: str) -> None:
            codes.append((data, call))

        codes: list[tuple[bytes, str]] = []
        send()
        async with server.endpoint().channel() as channel:
            for data, call in codes:
                raw = channel.unary_unary(f"/armada.policy.v1.Policy/{call}")
                with pytest.raises(grpc.aio.AioRpcError):
                    await raw(data, timeout=WAIT_S)
                known = pb.PredictRequest(session=name).SerializeToString() + data
                with pytest.raises(grpc.aio.AioRpcError):
                    await channel.unary_unary("/armada.policy.v1.Policy/Predict")(
                        known, timeout=WAIT_S
                    )
        await ask(session, 1)
        await session.close()


async def test_plaintext_goes_through_no_proxy(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for loopback only, and a token is in it."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    async with hosted(model) as server:
        await (await server.open()).close()


async def test_a_question_under_way_is_answered_when_its_connection_is_to_close(
    model: Model,
) -> None:
    """A server that is told to end hangs up on whoever has no question, and answers the others."""
    async with hosted(model, start=False) as server:
        session = await server.open()
        asking = asyncio.create_task(ask(session, 1))
        await queued(server.batcher, 1)
        closing = asyncio.create_task(session.close())
        server.batcher.start()
        assert (await asking)[0].shape == (30, 6)
        await closing


async def test_a_session_can_not_take_all_threads_that_unpack_pictures(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(*words: Any) -> Ask:
        begun.release()
        assert go_on.wait(WAIT_S)
        return decode_ask(*words)

    monkeypatch.setattr("server.policy.service.decode_ask", slow)
    async with hosted(model) as server:
        left, right = await server.open("left"), await server.open("right")
        first = [asyncio.create_task(ask(left, n)) for n in range(2)]
        await asyncio.to_thread(lambda: [begun.acquire(timeout=WAIT_S) for _ in first])
        assert (await code_of(ask(left, 3)))[0] is Code.ABORTED
        assert server.service.status().superseded == 1
        other = asyncio.create_task(ask(right, 4))
        assert await asyncio.to_thread(begun.acquire, timeout=WAIT_S)
        go_on.set()
        await other
        await asyncio.gather(*first, return_exceptions=True)
        await ask(left, 5)
        await left.close()
        await right.close()


async def test_a_reset_forgets_what_the_policy_remembers_of_that_robot_alone(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(model.loaded.engine, "forget", forgotten.append)
    async with hosted(model) as server:
        left, right = await server.open("left"), await server.open("right")
        name = left._welcome.session
        await ask(left, 1, epoch=1)
        await ask(right, 1, epoch=1)
        forgotten.clear()
        await ask(left, 2, epoch=1)
        assert forgotten == []
        await ask(left, 3, epoch=2)
        assert forgotten == [f"{name}/1"]
        await left.close()
        await ask(right, 2, epoch=1)
        assert forgotten == [f"{name}/1", f"{name}/2"]
        await right.close()


async def test_it_tells_what_it_does(model: Model) -> None:
    async with hosted(model) as server:
        session = await server.open("left")
        await ask(session, 1)
        await code_of(ask(session, 1, state=b""))
        status = status_dict(await status_of(server))
        await session.close()

    assert (status["chunks"], status["refused"], status["digest"]) == (1, 1, model.digest)
    assert status["batches"] == [{"size": 1, "passes": 1}]
    assert [(r["name"], r["chunks"]) for r in status["robots"]] == [("left", 1)]
    assert {s["name"] for s in status["stages"]} == {
        *("queue_s", "decode_s", "pre_s", "infer_s", "post_s")
    }
    assert status["received_bytes"] > status["sent_bytes"] > 720


async def status_of(server: Hosted) -> pb.StatusReply:
    async with server.endpoint().channel() as channel:
        return await PolicyStub(channel).Status(pb.StatusRequest(), timeout=WAIT_S)


def test_the_camera_the_policy_does_not_look_at_is_not_asked_for() -> None:
    layout = FrameLayout(JOINTS, JOINTS, (ImageSpec("depth", SIZE, SIZE, 1),))
    shown = About(robot="arm", fps=30, layout=layout, rename_map={}, jpeg_quality=75).request()
    assert list(shown.cameras) == []
