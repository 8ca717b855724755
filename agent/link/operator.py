"""The operator's end of the line: who is there, and orders to one robot or to all."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import aiomqtt

from agent.link.messages import Command, Reply, Status, Topics, decode, encode
from robots.errors import ConfigError, LinkError

logger = logging.getLogger(__name__)

_QUIET_S = 0.3
"""Retained messages follow the acknowledged subscription in one burst; after this long without one
more, that was all."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """What the broker asks of its clients.

    Args:
        username, password: Empty: none.
        tls_ca: CA of the broker's certificate; empty: plaintext.
    """

    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    tls_ca: str = ""


ANYBODY = Login()


def fleet_status(
    host: str, port: int, fleet: str, *, wait_s: float = 2.0, login: Login = ANYBODY
) -> list[Status]:
    """What the robots of a fleet last said of themselves, by name.

    Args:
        host, port: The broker.
        fleet: Its name.
        wait_s: Longest wait for all of them; it takes less when nothing more comes.
        login: For the broker.

    Raises:
        LinkError: the broker can't be reached.
    """

    async def ask() -> list[Status]:
        async with _client(host, port, login) as client:
            return await _statuses(client, fleet, wait_s)

    return _run(ask(), host, port)


def send_command(
    host: str,
    port: int,
    fleet: str,
    robot: str,
    name: str,
    args: Mapping[str, Any],
    *,
    timeout_s: float = 5.0,
    login: Login = ANYBODY,
) -> list[Reply]:
    """Give an order and wait for the answers.

    Args:
        host, port: The broker.
        fleet: Its name.
        robot: Name of one robot, or ``all``.
        name, args: The order.
        timeout_s: Longest wait.
        login: For the broker.

    Returns:
        One reply from each robot that is online (or the one that was named); one that didn't answer
        in time has a reply that is not ok and says so.

    Raises:
        LinkError: the broker can't be reached, or no such robot is online.
    """
    command = Command(id=uuid.uuid4().hex, name=name, args=dict(args))

    async def order() -> list[Reply]:
        async with _client(host, port, login) as client:
            statuses = await _statuses(client, fleet, 2.0)
        online = {s.robot for s in statuses if s.state != "offline"}
        addressed = online if robot == "all" else online & {robot}
        if not addressed:
            raise LinkError(
                "no such robot is online",
                field="robot",
                value=robot,
                remedy="Online: " + (", ".join(sorted(online)) or "none"),
            )
        topics = Topics(fleet, robot)
        async with _client(host, port, login) as client:
            await client.subscribe(f"armada/{fleet}/+/reply", qos=1)
            topic = topics.everybody if robot == "all" else topics.command
            await client.publish(topic, encode(command), qos=1)
            return await _replies(client, command.id, addressed, timeout_s)

    return _run(order(), host, port)


def as_json(message: Any) -> dict[str, Any]:
    """A message as a dictionary."""
    return dataclasses.asdict(message)


async def _statuses(client: aiomqtt.Client, fleet: str, wait_s: float) -> list[Status]:
    found: dict[str, Status] = {}
    await client.subscribe(f"armada/{fleet}/+/status", qos=1)
    deadline = time.monotonic() + wait_s
    async for message in _until(client, deadline, quiet_s=_QUIET_S):
        status = _read(Status, message)
        if status is not None:
            found[status.robot] = status
    return [found[name] for name in sorted(found)]


async def _replies(
    client: aiomqtt.Client, command: str, robots: set[str], timeout_s: float
) -> list[Reply]:
    found = {
        name: Reply(id=command, robot=name, ok=False, error=f"no answer within {timeout_s:g} s")
        for name in sorted(robots)
    }
    waiting = set(robots)
    async for message in _until(client, time.monotonic() + timeout_s):
        reply = _read(Reply, message)
        if reply is not None and reply.id == command and reply.robot in robots:
            found[reply.robot] = reply
            waiting.discard(reply.robot)
            if not waiting:
                break
    return list(found.values())


async def _until(
    client: aiomqtt.Client, deadline: float, *, quiet_s: float = float("inf")
) -> AsyncIterator[aiomqtt.Message]:
    messages = aiter(client.messages)
    while (left := min(quiet_s, deadline - time.monotonic())) > 0:
        try:
            message = await asyncio.wait_for(anext(messages), left)
        except TimeoutError:
            return
        yield message


def _read[M: (Status, Reply)](kind: type[M], message: aiomqtt.Message) -> M | None:
    # Whoever may write to the broker may write nonsense, or in another robot's name.
    if not message.payload:
        return None
    try:
        read = decode(kind, bytes(message.payload))
    except LinkError as error:
        logger.warning("%s: %s", message.topic, error)
        return None
    if read.robot != str(message.topic).split("/")[2]:
        logger.warning("%s: says that it is %s", message.topic, read.robot)
        return None
    return read


def _client(host: str, port: int, login: Login) -> aiomqtt.Client:
    tls = None
    if login.tls_ca:
        try:
            tls = ssl.create_default_context(cafile=login.tls_ca)
        except OSError as error:
            raise ConfigError(
                "holds no certificate", field="--broker.tls_ca", value=login.tls_ca
            ) from error
    return aiomqtt.Client(
        hostname=host,
        port=port,
        username=login.username or None,
        password=login.password or None,
        tls_context=tls,
        timeout=5,
    )


def _run[T](work: Coroutine[Any, Any, T], host: str, port: int) -> T:
    try:
        return asyncio.run(work)
    except aiomqtt.MqttError as error:
        raise LinkError(
            f"the broker can't be reached ({error})",
            field="--broker",
            value=f"{host}:{port}",
            remedy="Is `armada server`, or the broker named with --broker.host, running there?",
        ) from error
