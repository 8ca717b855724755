"""What a server may not ask of a robot, whatever it is."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from agent.ipc import FrameLayout, ImageSpec
from agent.policy.remote.session import AnswerError, Endpoint, Session
from agent.proto import policy_pb2 as pb
from agent.proto.policy_pb2_grpc import PolicyServicer, add_PolicyServicer_to_server
from tests.datasets import JOINTS
from tests.server.policy.conftest import about

LAYOUT = FrameLayout(JOINTS, JOINTS, (ImageSpec("cam", 48, 64), ImageSpec("depth", 48, 64, 1)))


class Strange(PolicyServicer):
    """Welcomes everybody with these words."""

    def __init__(self, welcome: pb.OpenReply) -> None:
        self._welcome = welcome

    async def Open(self, request: pb.OpenRequest, context: Any) -> pb.OpenReply:
        return self._welcome


async def opened(**welcome: Any) -> Session:
    server = grpc.aio.server()
    add_PolicyServicer_to_server(Strange(pb.OpenReply(**welcome)), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        endpoint = Endpoint(address=f"127.0.0.1:{port}")
        session = await Session.open(endpoint, about(layout=LAYOUT), timeout_s=20)
        await session.close()
        return session
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    ("chunk_size", "camera", "says"),
    [
        (0, {}, "chunks of 0 actions"),
        (10_001, {}, "chunks of 10001 actions, not 1 to 10000"),
        (50, {"key": "attic"}, "pictures of attic in 48×64; here is no such camera"),
        (50, {"key": "depth"}, "pictures of depth in 48×64; here is no such camera"),
        (50, {"height": 0}, "pictures of cam in 0×64; here is 48×64"),
        (50, {"width": 0}, "pictures of cam in 48×0"),
        (50, {"height": 1 << 30}, "pictures of cam in 1073741824×64"),
        (50, {"width": 65}, "pictures of cam in 48×65; here is 48×64"),
    ],
)
async def test_what_a_robot_can_not_give_is_a_refusal(
    chunk_size: int, camera: dict[str, Any], says: str
) -> None:
    cameras = [pb.Camera(**({"key": "cam", "height": 48, "width": 64} | camera))]
    with pytest.raises(AnswerError, match=says) as refused:
        await opened(chunk_size=chunk_size, cameras=cameras)
    assert refused.value.code is grpc.StatusCode.FAILED_PRECONDITION


async def test_no_picture_is_sent_twice() -> None:
    with pytest.raises(AnswerError, match="asked for twice"):
        await opened(chunk_size=50, cameras=2 * [pb.Camera(key="cam", height=48, width=64)])


async def test_the_longest_chunks_and_its_own_pictures_are_fine() -> None:
    cameras = [pb.Camera(key="cam", height=48, width=64)]
    assert (await opened(chunk_size=10_000, cameras=cameras)).chunk_size == 10_000
