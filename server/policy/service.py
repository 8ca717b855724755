"""The gRPC service ``armada.policy.v1.Policy``."""

from __future__ import annotations

import asyncio
import logging
import time
from importlib.metadata import version
from typing import Any, NoReturn

import grpc

from agent.policy.predict import Ask
from agent.policy.remote import wire
from agent.proto import policy_pb2 as pb
from agent.proto.policy_pb2_grpc import PolicyServicer
from robots.errors import ArmadaError, ConfigError, ModelError
from server.policy.batcher import Batcher, ExpiredError, Job, Result, ShedError, SupersededError
from server.policy.decode import decode_ask, decode_guiding, decode_layout
from server.policy.doors import Doors, StrangerError
from server.policy.metrics import Metrics
from server.policy.model import INFERENCE_ERRORS, Model
from server.policy.sessions import IDLE_S, FullError, Session, Sessions

_FULL_RETRY_S = 10.0

_MOST_DECODING = 2
"""A robot has one question in flight, and perhaps one that it has given up."""

_STAGES = ("queue_s", "decode_s", "pre_s", "infer_s", "post_s")

_CODES: dict[type[ArmadaError], tuple[grpc.StatusCode, str]] = {
    StrangerError: (grpc.StatusCode.UNAUTHENTICATED, "refused"),
    FullError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "sheds"),
    ShedError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "sheds"),
    SupersededError: (grpc.StatusCode.ABORTED, "superseded"),
    ExpiredError: (grpc.StatusCode.DEADLINE_EXCEEDED, "expired"),
    ConfigError: (grpc.StatusCode.INVALID_ARGUMENT, "refused"),
}

logger = logging.getLogger(__name__)


class PolicyService(PolicyServicer):
    """Answers robots. Everything here runs in one event loop.

    Args:
        batcher: Computes.
        doors: Say who calls.
        max_robots: Served at once.
        policy: What is served, in words.
    """

    def __init__(self, batcher: Batcher, doors: Doors, *, max_robots: int, policy: str) -> None:
        self.metrics = Metrics()
        self._batcher = batcher
        self.doors = doors
        self._sessions = Sessions(max_robots)
        self._max_robots = max_robots
        self._policy = policy

    # Calls ---------------------------------------------------------------------------------

    async def Open(self, request: pb.OpenRequest, context: Any) -> pb.OpenReply:
        """Welcome a robot."""
        try:
            return self._open(request, context)
        except ModelError as error:
            # Fine by itself, but not with this model.
            await self.refuse(context, error, grpc.StatusCode.FAILED_PRECONDITION)
        except ArmadaError as error:
            await self.refuse(context, error)

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictReply:
        """Answer an observation."""
        began = time.monotonic()
        self.metrics.counts["received_bytes"] += request.ByteSize()
        left_s = context.time_remaining()
        deadline = began + min(wire.LONGEST_S, wire.LONGEST_S if left_s is None else left_s)
        session = await self._session(request.session, context)
        try:
            self._begin(session, request.epoch)
            ask = await _decode(request, session)
            decode_s = time.monotonic() - began
            if self._sessions.find(session.name) is None:
                raise SupersededError("the server has another model")
            result = await self._result(session, ask, deadline)
        except ArmadaError as error:
            await self.refuse(context, error)
        except INFERENCE_ERRORS as error:
            logger.warning("a chunk for %s failed: %s", session.robot, error)
            await self.refuse(context, ModelError(f"the inference failed: {error}"))
        return self._reply(request, session, result, decode_s)

    async def Close(self, request: pb.CloseRequest, context: Any) -> pb.CloseReply:
        """Forget a session."""
        session = await self._session(request.session, context)
        self._close(session)
        return pb.CloseReply()

    async def Status(self, request: pb.StatusRequest, context: Any) -> pb.StatusReply:
        """What is done and was done."""
        try:
            self.doors.robot(context)
        except ArmadaError as error:
            await self.refuse(context, error)
        return self.status()

    # What the server calls -----------------------------------------------------------------

    def swap(self, model: Model) -> None:
        """Answer with another model; robots that it doesn't fit must open another session."""
        misfits = self._sessions.misfits(model.config, model.chunk_size)
        for session in misfits:
            self._close(session)
        self._batcher.swap(model, {session.name for session in misfits})
        self.metrics.counts["swaps"] += 1

    def sweep(self) -> None:
        """Forget sessions that nobody has used for long."""
        for session in self._sessions.idle():
            self._close(session)

    def status(self) -> pb.StatusReply:
        """All that is counted."""
        counts, now = self.metrics.counts, time.monotonic()
        return pb.StatusReply(
            version=version("armada"),
            protocol=wire.PROTOCOL,
            policy=self._policy,
            digest=self._batcher.model.digest,
            uptime_s=self.metrics.uptime_s,
            **{
                name: counts[name]
                for name in (
                    *("chunks", "sheds", "superseded", "expired", "failed", "refused"),
                    *("swaps", "received_bytes", "sent_bytes"),
                )
            },
            stages=[
                pb.Stage(name=name, p50_s=p50, p95_s=p95)
                for name, (p50, p95) in self.metrics.quantiles().items()
            ],
            batches=[
                pb.BatchSize(size=size, passes=round(chunks / size))
                for size, chunks in sorted(self.metrics.batches.items())
            ],
            robots=[
                pb.Robot(name=s.robot, chunks=s.chunks, idle_s=now - s.used) for s in self._sessions
            ],
        )

    async def refuse(
        self, context: Any, error: ArmadaError, code: grpc.StatusCode | None = None
    ) -> NoReturn:
        """End a call with the code of what went wrong."""
        default = (grpc.StatusCode.INTERNAL, "failed")
        known, counter = _CODES.get(type(error), default)
        self.metrics.counts[counter if code is None else "refused"] += 1
        retry_s = _FULL_RETRY_S if isinstance(error, FullError) else None
        if isinstance(error, ShedError):
            retry_s = error.retry_after_s
        trailing = () if retry_s is None else ((wire.RETRY_AFTER, str(round(1000 * retry_s))),)
        await context.abort(code or known, str(error), trailing)
        raise AssertionError("abort raises")

    # ---------------------------------------------------------------------------------------

    def _open(self, request: pb.OpenRequest, context: Any) -> pb.OpenReply:
        caller = self.doors.robot(context)
        if request.protocol != wire.PROTOCOL:
            raise ModelError(
                f"the robot speaks version {request.protocol} of the protocol, this server "
                f"{wire.PROTOCOL}",
                remedy="Install the same version of Armada on both",
            )
        layout = decode_layout(request)
        if caller is not None and caller != request.robot:
            raise StrangerError(
                f"the robot says it is {request.robot}, its token or certificate is {caller}'s",
                remedy=f"Give --name={caller}",
            )
        # The old one may still be in a pass, and who opens because of the new one must fit that.
        model = self._batcher.newest
        session = self._sessions.open(
            request.robot,
            layout,
            request.rename_map,
            model.config,
            model.chunk_size,
            decode_guiding(request),
        )
        logger.info("%s has a session", session.robot)
        return pb.OpenReply(
            session=session.name,
            digest=model.digest,
            chunk_size=model.chunk_size,
            cameras=[pb.Camera(key=v.key, height=v.height, width=v.width) for v in session.views],
            idle_s=IDLE_S,
            max_batch=self._batcher.max_batch,
            pass_s=self._batcher.pass_s,
        )

    async def _session(self, name: str, context: Any) -> Session:
        try:
            caller = self.doors.robot(context)
        except ArmadaError as error:
            await self.refuse(context, error)
        session = self._sessions.find(name)
        if session is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such session")
        assert session is not None
        if caller is not None and caller != session.robot:
            self.metrics.counts["refused"] += 1
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "the session is another robot's")
        return session

    def _begin(self, session: Session, epoch: int) -> None:
        """What was seen before a reset is not the past of what comes after it."""
        if epoch != session.epoch:
            self._batcher.forget(session.history)
            session.epoch = epoch

    def _close(self, session: Session) -> None:
        self._sessions.close(session)
        self._batcher.forget(session.history)

    async def _result(self, session: Session, ask: Any, deadline: float) -> Result:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()

        def settle(outcome: Result | Exception) -> None:
            if answer.done():
                return
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        job = Job(
            session=session.name,
            ask=ask,
            guiding=session.guiding,
            deadline=deadline,
            done=lambda outcome: _from_thread(loop, settle, outcome),
        )
        self._batcher.put(job)
        try:
            return await answer
        finally:
            # gRPC cancels this call when the robot's deadline is over or the robot is gone.
            self._batcher.withdraw(job)

    def _reply(
        self, request: pb.PredictRequest, session: Session, result: Result, decode_s: float
    ) -> pb.PredictReply:
        stages = {"queue_s": result.queue_s, "decode_s": decode_s, **result.answer.timings}
        reply = pb.PredictReply(
            request=request.request,
            tick=request.tick,
            epoch=request.epoch,
            digest=result.digest,
            actions=wire.pack(result.answer.chunk),
            rows=len(result.answer.chunk),
            batch=result.batch,
            **{name: stages[name] for name in _STAGES},
        )
        session.chunks += 1
        self.metrics.counts["chunks"] += 1
        self.metrics.counts["sent_bytes"] += reply.ByteSize()
        self.metrics.batches[result.batch] += 1
        self.metrics.stages(stages)
        return reply


async def _decode(request: pb.PredictRequest, session: Session) -> Ask:
    """In a thread: one robot's pictures must not hold the others' calls, nor take all threads.

    Raises:
        ConfigError: names the field.
        SupersededError: others of this session are being unpacked.
    """
    if session.decoding >= _MOST_DECODING:
        raise SupersededError("this session asks faster than its pictures can be unpacked")
    session.decoding += 1

    def done(_: asyncio.Task[Ask]) -> None:
        session.decoding -= 1

    work = asyncio.create_task(asyncio.to_thread(decode_ask, request, session))
    work.add_done_callback(done)
    # The thread goes on when the call is cancelled, and counts until its end.
    return await asyncio.shield(work)


def _from_thread(loop: asyncio.AbstractEventLoop, settle: Any, outcome: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle, outcome)
