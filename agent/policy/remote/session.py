"""A robot's session with a policy server, over one gRPC connection.

asyncio: a session can be asked while another connection is tried. Nothing is tried again here; who
holds the session decides what a failure means (``worker.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from agent.ipc import FrameLayout, ImageSpec
from agent.policy.remote import wire
from agent.policy.remote.config import RemoteConfig
from agent.policy.remote.shrink import encode, shrink
from agent.proto import policy_pb2 as pb
from agent.proto.policy_pb2_grpc import PolicyStub
from robots.errors import LinkError

PING_S = 2.0
PING_LIMIT_S = 3.0
"""A server that vanished without a word is noticed within the sum of the two."""

_OPTIONS = [
    ("grpc.keepalive_time_ms", int(PING_S * 1000)),
    ("grpc.keepalive_timeout_ms", int(PING_LIMIT_S * 1000)),
    # Without this one gRPC waits a minute for the ping's answer, whatever the other says.
    ("grpc.http2.ping_timeout_ms", int(PING_LIMIT_S * 1000)),
    # Also while the arm is stopped and nothing is asked.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_send_message_length", wire.MAX_MESSAGE_B),
    ("grpc.max_receive_message_length", wire.MAX_MESSAGE_B),
    # Each attempt is one of its own: a shared one would wait out another's back-off.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.client_idle_timeout_ms", (1 << 31) - 1),
    # A failed call is tried again by nobody but us: its observation is old by then.
    ("grpc.enable_retries", 0),
]
_NO_PROXY = ("grpc.enable_http_proxy", 0)
"""Plaintext stays on this machine, whatever ``http_proxy`` says."""

_CLOSE_S = 0.5
_GRACE_S = 5.0
"""For the answer to a question that is under way: a server that is told to end still gives it."""


class AnswerError(LinkError):
    """A call failed.

    Args:
        code: gRPC's.
        retry_after_s: When the server wants to be asked again, if it said so.
    """

    def __init__(
        self, message: str, *, code: grpc.StatusCode, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where the server is and how to get in.

    Args:
        address: host:port.
        root_certificates: Its CA, PEM; ``None``: plaintext.
        token: This robot's; empty: none.
        client_certificate, client_key: This robot's, PEM.
    """

    address: str
    root_certificates: bytes | None = None
    token: str = ""
    client_certificate: bytes | None = None
    client_key: bytes | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.address!r}, tls={self.root_certificates is not None})"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return ((wire.AUTHORIZATION, f"Bearer {self.token}"),) if self.token else ()

    def channel(self) -> grpc.aio.Channel:
        """A connection of its own; it is made at the first call."""
        if self.root_certificates is None:
            return grpc.aio.insecure_channel(self.address, options=[*_OPTIONS, _NO_PROXY])
        credentials = grpc.ssl_channel_credentials(
            self.root_certificates, self.client_key, self.client_certificate
        )
        return grpc.aio.secure_channel(self.address, credentials, options=_OPTIONS)


def endpoint_of(config: RemoteConfig) -> Endpoint:
    """Where to call, with what is needed to get in.

    Raises:
        ConfigError: the token can't be read.
        OSError: a certificate can't be read.
    """

    def read(path: str) -> bytes | None:
        return Path(path).read_bytes() if path else None

    return Endpoint(
        address=config.server,
        root_certificates=read(config.root_certificates),
        token=config.token(),
        client_certificate=read(config.client_certificate),
        client_key=read(config.client_key),
    )


@dataclass(frozen=True, kw_only=True)
class About:
    """What a server must know of a robot.

    Args:
        robot: Its name.
        fps: Control rate in Hz; what a chunk lasts follows from it.
        layout: Its features; cameras that are not RGB are not offered.
        rename_map: Robot keys to policy keys.
        jpeg_quality: Of the pictures that are sent.
        guidance: How plans are continued: whether exactly, and the paper's β; ``None``: they
            are not.
    """

    robot: str
    fps: float
    layout: FrameLayout
    rename_map: Mapping[str, str]
    jpeg_quality: int
    guidance: tuple[bool, float] | None = None

    def request(self) -> pb.OpenRequest:
        return pb.OpenRequest(
            protocol=wire.PROTOCOL,
            robot=self.robot,
            state_names=self.layout.state_names,
            action_names=self.layout.action_names,
            cameras=[
                pb.Camera(key=image.key, height=image.height, width=image.width)
                for image in self._offered
            ],
            rename_map=dict(self.rename_map),
            guidance=self.guidance
            and pb.Guidance(exact=self.guidance[0], max_weight=self.guidance[1]),
        )

    def problem(self, welcome: pb.OpenReply) -> str:
        """What this robot can't give of what a server asks for in its welcome; empty: nothing."""
        if not 1 <= welcome.chunk_size <= wire.MOST_ACTIONS:
            return f"chunks of {welcome.chunk_size} actions, not 1 to {wire.MOST_ACTIONS}"
        sizes = {image.key: (image.height, image.width) for image in self._offered}
        for camera in welcome.cameras:
            # Each once.
            height, width = sizes.pop(camera.key, (0, 0))
            if not (1 <= camera.height <= height and 1 <= camera.width <= width):
                there = f"{height}×{width}" if height else "no such camera, or asked for twice"
                return (
                    f"pictures of {camera.key} in {camera.height}×{camera.width}; here is {there}"
                )
        return ""

    @property
    def _offered(self) -> list[ImageSpec]:
        return [image for image in self.layout.images if image.channels == 3]


class Session:
    """A welcomed robot; made by ``Session.open``.

    Args:
        endpoint: The server.
        about: The robot.
    """

    def __init__(self, endpoint: Endpoint, about: About) -> None:
        self._endpoint = endpoint
        self._about = about
        self._channel = endpoint.channel()
        self._stub = PolicyStub(self._channel)  # type: ignore[no-untyped-call]
        self._welcome = pb.OpenReply()
        self._opening_s = 0.0

    @classmethod
    async def open(cls, endpoint: Endpoint, about: About, *, timeout_s: float) -> Session:
        """Connect and introduce the robot.

        Raises:
            AnswerError: nobody answers, or the robot is refused.
        """
        session = cls(endpoint, about)
        try:
            await session.reopen(timeout_s=timeout_s)
        except BaseException:
            await session._channel.close()
            raise
        return session

    @property
    def digest(self) -> str:
        """Of the server's model when the session was opened."""
        return self._welcome.digest

    @property
    def chunk_size(self) -> int:
        return self._welcome.chunk_size

    @property
    def chunk_s(self) -> float:
        """What a chunk will take, as far as is known before the first: the server's pass, and the
        trips of the opening (connecting and the welcome), which for an observation that a new
        connection takes in several bursts are about as many."""
        # A server may say anything, also what is no number (max takes the first then).
        return self._opening_s + min(wire.LONGEST_S, max(0.0, self._welcome.pass_s))

    async def reopen(self, *, timeout_s: float) -> None:
        """Another session over the same connection, for a server that forgot this one.

        Raises:
            AnswerError: the robot is refused.
        """
        began = time.perf_counter()
        with self._errors():
            welcome = await self._stub.Open(
                self._about.request(), timeout=timeout_s, metadata=self._endpoint.metadata
            )
        self._opening_s = time.perf_counter() - began
        if problem := self._about.problem(welcome):
            raise AnswerError(
                f"the policy server asks for {problem}", code=grpc.StatusCode.FAILED_PRECONDITION
            )
        self._welcome = welcome

    def request(
        self,
        number: int,
        tick: int,
        epoch: int,
        state: NDArray[np.float32],
        images: Mapping[str, NDArray[np.uint8]],
        task: str,
        *,
        plan: NDArray[np.float32] | None = None,
        frozen: int = 0,
        seed: int | None = None,
    ) -> pb.PredictRequest:
        """An observation as it is sent: shrunk to what the policy looks at.

        Args:
            number, tick, epoch: They come back with the chunk.
            state: (S,) in the robot's units.
            images: Camera key → uint8 (H, W, 3), RGB.
            task: In words.
            plan: (L, A) what the arm does anyway from this tick on.
            frozen: How many of those it will have done when the chunk arrives.
            seed: Of the policy's noise; ``None``: fresh noise.
        """
        quality = self._about.jpeg_quality
        return pb.PredictRequest(
            session=self._welcome.session,
            request=number,
            tick=tick,
            epoch=epoch,
            state=wire.pack(state),
            images=[
                pb.Image(key=c.key, jpeg=encode(shrink(images[c.key], c.height, c.width), quality))
                for c in self._welcome.cameras
            ],
            task=task,
            plan=b"" if plan is None else wire.pack(plan),
            frozen=frozen,
            seed=seed,
        )

    def adopt(self, request: pb.PredictRequest) -> pb.PredictRequest:
        """The same question in this session, which another was asked in before."""
        request.session = self._welcome.session
        return request

    async def ask(
        self, request: pb.PredictRequest, *, timeout_s: float
    ) -> tuple[NDArray[np.float32], pb.PredictReply]:
        """(N, A) actions, and the reply that they came in.

        Raises:
            AnswerError: there is none.
        """
        with self._errors():
            reply = await self._stub.Predict(
                request, timeout=timeout_s, metadata=self._endpoint.metadata
            )
        try:
            chunk = wire.unpack(reply.actions, len(self._about.layout.action_names))
        except ValueError as error:
            raise AnswerError(
                f"the policy server's chunk: {error}", code=grpc.StatusCode.INTERNAL
            ) from error
        return chunk, reply

    async def lost(self) -> None:
        """Return when the connection is gone."""
        state = self._channel.get_state()
        while state is grpc.ChannelConnectivity.READY:
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state()

    async def close(self) -> None:
        """Take leave, if the server can be told. A question that is under way is answered, or ends
        in an ``AnswerError`` after some seconds."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self._stub.Close(
                pb.CloseRequest(session=self._welcome.session),
                timeout=_CLOSE_S,
                metadata=self._endpoint.metadata,
            )
        await self._channel.close(_GRACE_S)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise _answer_error(error, self._endpoint.address) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody gave the call up: the connection was closed under it.
            raise AnswerError(
                f"the connection to the policy server at {self._endpoint.address} was closed",
                code=grpc.StatusCode.CANCELLED,
            ) from error


def _answer_error(error: grpc.aio.AioRpcError, address: str) -> AnswerError:
    code, details = error.code(), " ".join((error.details() or "").split())[:200]
    if code is grpc.StatusCode.UNAVAILABLE:
        text = f"no policy server answers at {address} ({details})"
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = f"the policy server at {address} did not answer in time"
    else:
        text = details or str(code)
    return AnswerError(text, code=code, retry_after_s=_retry_after(error.trailing_metadata()))


def _retry_after(metadata: Any) -> float | None:
    for key, value in metadata or ():
        if key == wire.RETRY_AFTER and str(value).isdigit():
            return int(value) / 1000
    return None
