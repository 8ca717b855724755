"""The remote worker: in place of a policy worker, one that asks a policy server.

::

    → hello{role, pid, generation, remote=true}
                                          ← welcome{layout, buffer, slots, fps, task, robot}
    → link{up=false, cause}               while the server can't be asked, at each change of cause
    → ready{generation, digest, chunk_size, chunk_s, warmup_s}
                                          with the first session, and with another model
    → link{up=true}
    ← observe{request, tick, epoch, slot, task, plan, frozen}
                                          → chunk{request, tick, generation, epoch, digest, shape,
                                                  timings, bytes_up, bytes_down}
                                          or error{request, message, again_s}
    ← retire{}

``again_s``: the server was too busy, and wants to be asked again after so long; absent else. After
a reset another question may come before the answer: the server takes it in the older one's place.

Control knows no gRPC. Every request ends in a chunk or an error, before control's own deadline, and
as soon as the server is silent for longer than its answers took (``patience.py``). A link that is
down, a server that is silent, or one that failed three times in a row, is told at once and tried
again with jittered back-off; a server that was restarted is asked on as soon as it listens.

That a silent server opens a session says nothing of its model: it is asked the same question again,
and its link is up when that is answered (``silence.py``).

Exit status: 0 retired or control is gone, 2 a wrong token file or certificate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from agent import logs
from agent.ipc import Channel, FrameBuffer, FrameLayout, Message, connect
from agent.policy.remote.config import RemoteConfig
from agent.policy.remote.dial import Dialler
from agent.policy.remote.patience import Patience
from agent.policy.remote.session import About, AnswerError, Endpoint, Session, endpoint_of
from agent.policy.remote.silence import SILENT, Silence
from agent.proto import policy_pb2 as pb
from robots.errors import ArmadaError, LinkError

logger = logging.getLogger(__name__)

_REFUSED = 2
_WELCOME_S = 10.0
_REOPEN_S = 2.0
_PATIENCE = 3
"""Failures in a row until the server is given up for a while; then one, until a chunk came."""

_STAGES = ("queue_s", "decode_s", "pre_s", "infer_s", "post_s")

_UNWELCOME = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
)
"""What no further question of this session changes."""

_REPLACED = grpc.StatusCode.ABORTED


class RemoteWorker:
    """Answers control's requests with what a policy server says.

    Args:
        channel: To control, after the welcome.
        buffer: Where observations lie.
        endpoint: The server.
        about: The robot.
        generation: Which worker this is, counted by the supervisor.
        limit_s: The longest that an answer may take, however slow the server is.
        fallback: Whether this host has a policy of its own, for when the server can't be asked.
    """

    def __init__(
        self,
        channel: Channel,
        buffer: FrameBuffer,
        endpoint: Endpoint,
        about: About,
        *,
        generation: int,
        limit_s: float,
        fallback: bool = False,
    ) -> None:
        self._channel = channel
        self._buffer = buffer
        self._about = about
        self._address = endpoint.address
        self._generation = generation
        self._patience = Patience(limit_s)
        self._fallback = fallback
        self._dialler = Dialler(endpoint, about, self._unreached)
        # Kept: a closed channel has none to tell.
        self._fd = channel.fileno()
        self._session: Session | None = None
        self._model = ("", 0)
        self._cause = ""
        self._failures = 0
        self._silence = Silence(limit_s, self._answered)
        self._idle_since = time.perf_counter()

    async def serve(self) -> None:
        """Answer until retired or alone."""
        self._ended = asyncio.Event()
        self._began = time.monotonic()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._fd, self._hear)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._beside: set[asyncio.Task[None]] = set()
            keeper = tasks.create_task(self._keep())
            await self._ended.wait()
            for task in (keeper, *self._beside):
                task.cancel()
        loop.remove_reader(self._fd)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    # Control -------------------------------------------------------------------------------

    def _hear(self) -> None:
        for message in self._channel.receive():
            if message.kind == "retire":
                self._ended.set()
            elif message.kind == "observe":
                self._observe(message)
        if self._channel.closed:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._ended.set()

    def _observe(self, message: Message) -> None:
        wait_s = time.perf_counter() - self._idle_since
        session = self._session
        if session is None:
            self._fail(message["request"], self._cause or "the policy server was not reached yet")
            return
        began = time.perf_counter()
        request = self._request(session, message)
        timings = {"wait_s": wait_s, "encode_s": time.perf_counter() - began}
        self._start(self._ask(session, request, began, timings))

    def _request(self, session: Session, message: Message) -> pb.PredictRequest:
        views = self._buffer[message["slot"]]
        plan = np.frombuffer(message.payload, np.float32).reshape(message["plan"])
        return session.request(
            message["request"],
            message["tick"],
            message["epoch"],
            views.state,
            views.images,
            message["task"],
            plan=plan if len(plan) else None,
            frozen=message["frozen"],
        )

    async def _ask(
        self, session: Session, request: pb.PredictRequest, began: float, timings: dict[str, float]
    ) -> None:
        limit_s = self._patience.limit_s(session.chunk_size / self._about.fps)
        try:
            chunk, reply = await session.ask(
                request, timeout_s=max(0.0, began + limit_s - time.perf_counter())
            )
        except AnswerError as error:
            if error.retry_after_s is not None:
                # As long as it would have taken, by what the server says.
                self._patience.note(limit_s + error.retry_after_s)
            await self._failed(session, request, error, until=began + limit_s)
            return
        self._answered(began)
        # The chunk itself tells control so.
        self._model = (reply.digest, session.chunk_size)
        stages = {name: getattr(reply, name) for name in _STAGES}
        self._send(
            "chunk",
            payload=chunk.tobytes(),
            request=request.request,
            tick=request.tick,
            generation=self._generation,
            epoch=request.epoch,
            digest=reply.digest,
            shape=list(chunk.shape),
            timings=timings | stages,
            bytes_up=request.ByteSize(),
            bytes_down=reply.ByteSize(),
        )
        self._idle_since = time.perf_counter()

    def _answered(self, began: float) -> None:
        self._patience.note(time.perf_counter() - began)
        self._failures = 0
        self._dialler.succeeded()

    async def _failed(
        self, session: Session, request: pb.PredictRequest, error: AnswerError, *, until: float
    ) -> None:
        """What to do about a question without an answer; control hears of it in any case."""
        cause, again_s = str(error), error.retry_after_s
        # Too busy is no fault of the session: in another it would be told the same, at the price
        # of a handshake. But a robot with a policy of its own is better off with that.
        counts = error.code is not _REPLACED and (again_s is None or self._fallback)
        self._failures += counts
        if again_s is not None:
            # Said when the next one may come: it is to be fresh then.
            again_s = min(again_s, self._patience.longest_s)
            wait_s = max(0.0, min(again_s, until - time.perf_counter()))
            await asyncio.sleep(wait_s)
            again_s -= wait_s
        elif error.code is grpc.StatusCode.NOT_FOUND:
            # Restarted behind a balancer, or it heard nothing of us for too long.
            with contextlib.suppress(AnswerError):
                await session.reopen(timeout_s=_REOPEN_S)
                self._tell_model(session)
        elif error.code is SILENT:
            self._silence.begins(request)
        self._fail(request.request, cause, again_s)
        failing = counts and self._failures >= _PATIENCE
        if failing or error.code in (*_UNWELCOME, SILENT):
            self._give_up(session, cause)

    def _fail(self, number: int, cause: str, again_s: float | None = None) -> None:
        when: dict[str, Any] = {} if again_s is None else {"again_s": again_s}
        self._send("error", request=number, message=cause[:300], **when)
        self._idle_since = time.perf_counter()

    # The server ----------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Have a session, always."""
        while True:
            session = await self._dialler.session()
            try:
                if await self._silence.is_over(session):
                    self._tell_down(await self._use(session))
            finally:
                if self._silence.lasts and not self._ended.is_set():
                    self._start(self._silence.find_out(session))
                else:
                    await session.close()

    def _unreached(self, error: AnswerError) -> None:
        """No session could be had."""
        self._silence.unreached(error)
        self._tell_down(str(error))

    async def _use(self, session: Session) -> str:
        """Have control's questions asked in a session; why that is over."""
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._session = session
        self._tell_model(session)
        self._cause = ""
        logger.info("the policy server at %s answers", self._address)
        self._send("link", up=True, generation=self._generation, cause="")
        watch = asyncio.create_task(self._watch(session))
        try:
            return await self._broken
        finally:
            self._session = None
            watch.cancel()

    async def _watch(self, session: Session) -> None:
        await session.lost()
        self._give_up(session, f"the connection to the policy server at {self._address} is lost")

    def _give_up(self, session: Session, cause: str) -> None:
        if session is self._session and not self._broken.done():
            self._broken.set_result(cause)

    def _tell_model(self, session: Session) -> None:
        """Say what a session was opened with, when it is another model than before."""
        if (model := (session.digest, session.chunk_size)) == self._model:
            return
        self._model = model
        self._send(
            "ready",
            generation=self._generation,
            digest=session.digest,
            chunk_size=session.chunk_size,
            chunk_s=session.chunk_s,
            warmup_s=round(time.monotonic() - self._began, 3),
        )

    def _tell_down(self, cause: str) -> None:
        """Say once why the server can't be asked."""
        if cause != self._cause:
            self._cause = cause
            logger.warning("%s", cause)
            self._send("link", up=False, generation=self._generation, cause=cause)

    def _send(self, kind: str, payload: bytes = b"", **fields: Any) -> None:
        self._channel.send(kind, payload, **fields)
        if self._channel.pending:
            loop = asyncio.get_running_loop()
            loop.add_writer(self._fd, self._flush)

    def _flush(self) -> None:
        self._channel.flush()
        if not self._channel.pending:
            asyncio.get_running_loop().remove_writer(self._fd)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a worker to its end; the exit status."""
    args = _parse(argv)
    logs.configure()
    try:
        channel = connect(args.socket, timeout_s=_WELCOME_S)
    except LinkError as error:
        # Control is gone before it was here: the supervisor starts both again.
        logger.info("%s", error)
        return 0
    channel.send("hello", role="policy", remote=True, pid=os.getpid(), generation=args.generation)
    welcome = _welcome(channel)
    if welcome is None:
        return 0
    try:
        endpoint = endpoint_of(RemoteConfig(**args.remote))
    except (ArmadaError, OSError) as error:
        logger.error("%s", error)
        channel.send("failed", message=str(error))
        channel.drain(1.0)
        return _REFUSED
    layout = FrameLayout.from_json(welcome["layout"])
    about = About(
        robot=welcome["robot"],
        fps=welcome["fps"],
        layout=layout,
        rename_map=args.rename_map,
        jpeg_quality=args.remote.get("jpeg_quality", RemoteConfig.jpeg_quality),
        guidance=args.guidance and (args.guidance == "exact", args.max_guidance_weight),
    )
    buffer = FrameBuffer(Path(welcome["buffer"]), layout, welcome["slots"])
    worker = RemoteWorker(
        channel,
        buffer,
        endpoint,
        about,
        generation=args.generation,
        limit_s=args.deadline_s,
        fallback=args.remote.get("fallback", RemoteConfig.fallback),
    )
    asyncio.run(worker.serve())
    return 0


def _welcome(channel: Channel) -> Message | None:
    for message in channel.wait(_WELCOME_S):
        if message.kind == "welcome":
            return message
        logger.error("control answers %s: %s", message.kind, message.fields.get("message", ""))
    return None


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent.policy.remote.worker")
    parser.add_argument("--socket", type=Path, required=True, help="control's socket")
    parser.add_argument("--generation", type=int, required=True)
    parser.add_argument("--remote", type=json.loads, required=True, help="JSON of a RemoteConfig")
    parser.add_argument("--rename_map", type=json.loads, default={}, help="JSON object")
    parser.add_argument(
        "--guidance", choices=("exact", "identity"), help="continue the plan, and how"
    )
    parser.add_argument("--max_guidance_weight", type=float, default=5.0)
    parser.add_argument("--deadline_s", type=float, default=60.0, help="longest wait for a chunk")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
