"""Whether the policy server lets this robot in and has a policy that fits it, by a session."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import grpc

from agent.doctor.check import Finding, Verdict
from agent.inference_config import InferenceConfig
from agent.ipc import FrameLayout
from agent.policy.remote.session import About, AnswerError, Session, endpoint_of

_PART = "policy server"
_OPEN_S = 5.0
_REMEDIES = {
    grpc.StatusCode.UNAVAILABLE: "Is `armada policy-server` running there? With TLS, is it that "
    "server's CA in --inference.root_certificates?",
    grpc.StatusCode.UNAUTHENTICATED: "Give --inference.token_env or .token_file; `armada "
    "policy-server token add ROBOT` there makes one",
    grpc.StatusCode.PERMISSION_DENIED: "Is it this robot's token? See `armada policy-server token "
    "list` there",
    grpc.StatusCode.FAILED_PRECONDITION: "Serve a policy that was trained for this robot, or give "
    "--rename_map",
}


def policy_server(
    config: InferenceConfig,
    robot: str,
    fps: float,
    layout: FrameLayout | None,
    rename_map: dict[str, str],
) -> Iterator[Finding]:
    """Open a session and close it. An agent of that name which has one opens another.

    Raises:
        ConfigError: the token can't be read.
    """
    if layout is None:
        yield Finding(_PART, Verdict.SKIP, "needs --robot.type: a server is told the features")
        return
    about = About(
        robot=robot,
        fps=fps,
        layout=layout,
        rename_map=rename_map,
        jpeg_quality=config.jpeg_quality,
    )
    began = time.perf_counter()
    try:
        digest, chunk_size = asyncio.run(_open(config, about))
    except AnswerError as error:
        yield Finding(_PART, Verdict.FAIL, str(error), _REMEDIES.get(error.code, ""))
        return
    took_ms = 1000 * (time.perf_counter() - began)
    detail = (
        f"{config.server} has a policy that fits: {digest.removeprefix('sha256:')[:12]}, "
        f"{chunk_size} actions a chunk, let in within {took_ms:.0f} ms"
    )
    yield Finding(_PART, Verdict.OK, detail)


async def _open(config: InferenceConfig, about: About) -> tuple[str, int]:
    session = await Session.open(endpoint_of(config), about, timeout_s=_OPEN_S)
    try:
        return session.digest, session.chunk_size
    finally:
        await session.close()
