"""Robots that ask Armada's policy server, with the sessions of its remote worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event

from agent.ipc import FrameLayout, ImageSpec
from agent.policy.remote.config import RemoteConfig
from agent.policy.remote.session import About, AnswerError, Endpoint, Session
from benchmarks.inference.fleet import JOINTS, Fleet, Pictures, Robot, states
from benchmarks.inference.job import FPS, TASK
from benchmarks.inference.pictures import CAMERAS, SIZE

_LIMIT_S = 60.0
_RETRY_S = 0.1


def fleet(server: str, policy: str, moments: list[Pictures], number: int) -> Fleet:
    """So many, in one event loop. The server has its policy already."""
    robots = [Robot(i) for i in range(number)]

    async def all_of_them(over: Event, ready: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for robot in robots:
                tasks.create_task(_ask(robot, server, moments, over, ready))

    return Fleet(robots, [lambda over, ready: asyncio.run(all_of_them(over, ready))])


async def _ask(
    robot: Robot,
    server: str,
    moments: list[Pictures],
    over: Event,
    ready: Callable[[], None],
) -> None:
    about = About(
        robot=f"robot{robot.index}",
        fps=FPS,
        layout=FrameLayout(JOINTS, JOINTS, tuple(ImageSpec(key, *SIZE) for key in CAMERAS)),
        rename_map={},
        jpeg_quality=RemoteConfig.jpeg_quality,
    )
    session = await Session.open(Endpoint(address=server), about, timeout_s=_LIMIT_S)
    ready()
    question, state = 0, states(robot.index)
    while not over.is_set():
        question += 1
        began = robot.ask()
        request = session.request(
            robot.number(question),
            question,
            0,
            next(state),
            moments[question % len(moments)],
            TASK,
        )
        try:
            _, reply = await session.ask(request, timeout_s=_LIMIT_S)
        except AnswerError as error:
            robot.fail()
            await asyncio.sleep(error.retry_after_s or _RETRY_S)
        else:
            robot.hear(reply.request, began)
    await session.close()
