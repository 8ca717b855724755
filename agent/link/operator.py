"""The operator's end of the line: who is there, and orders to one robot or to all."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiomqtt

from agent.link.messages import Command, Reply, Status, Topics, decode, encode
from robots.errors import LinkError

_QUIET_S = 0.3
"""Retained messages come in one burst; after this long without one more, that was all."""


def _client(host: str, port: int) -> aiomqtt.Client:
    return aiomqtt.Client(hostname=host, port=port, timeout=5)


def fleet_status(host: str, port: int, fleet: str, *, wait_s: float = 2.0) -> list[Status]:
    """What the robots of a fleet last said of themselves, by name.

    Args:
        host, port: The broker.
        fleet: Its name.
        wait_s: Longest wait for the first one.

    Raises:
        LinkError: the broker can't be reached.
    """
    return asyncio.run(_fleet_status(host, port, fleet, wait_s))


async def _fleet_status(host: str, port: int, fleet: str, wait_s: float) -> list[Status]:
    found: dict[str, Status] = {}
    try:
        async with _client(host, port) as client:
            await client.subscribe(f"armada/{fleet}/+/status", qos=1)
            messages = aiter(client.messages)
            timeout = wait_s
            while (message := await _next(messages, timeout)) is not None:
                timeout = _QUIET_S
                if isinstance(message.payload, bytes) and message.payload:
                    status = decode(Status, message.payload)
                    found[status.robot] = status
    except aiomqtt.MqttError as error:
        raise _away(host, port, error) from error
    return [found[name] for name in sorted(found)]


async def _next(messages: AsyncIterator[aiomqtt.Message], wait_s: float) -> aiomqtt.Message | None:
    try:
        return await asyncio.wait_for(anext(messages), wait_s)
    except TimeoutError:
        return None


def send_command(
    host: str,
    port: int,
    fleet: str,
    robot: str,
    name: str,
    args: Mapping[str, Any],
    *,
    timeout_s: float = 5.0,
) -> list[Reply]:
    """Give an order and wait for the answers.

    Args:
        host, port: The broker.
        fleet: Its name.
        robot: Name of one robot, or ``all``.
        name, args: The order.
        timeout_s: Longest wait.

    Returns:
        One reply from each robot that is online (or the one that was named).

    Raises:
        LinkError: the broker can't be reached, no such robot is online, or one doesn't answer.
    """
    return asyncio.run(_send(host, port, fleet, robot, name, args, timeout_s))


async def _send(
    host: str,
    port: int,
    fleet: str,
    robot: str,
    name: str,
    args: Mapping[str, Any],
    timeout_s: float,
) -> list[Reply]:
    online = [s.robot for s in await _fleet_status(host, port, fleet, 2.0) if s.state != "offline"]
    waiting = set(online if robot == "all" else [robot]) & set(online)
    if not waiting:
        raise LinkError(
            "no such robot is online",
            field="robot",
            value=robot,
            remedy="Online: " + (", ".join(online) or "none"),
        )
    command = Command(id=uuid.uuid4().hex, name=name, args=dict(args))
    topics = Topics(fleet, robot)
    replies: dict[str, Reply] = {}
    try:
        async with _client(host, port) as client:
            await client.subscribe(f"armada/{fleet}/+/reply", qos=1)
            topic = topics.everybody if robot == "all" else topics.command
            await client.publish(topic, encode(command), qos=1)
            messages = aiter(client.messages)
            deadline = time.monotonic() + timeout_s
            while waiting:
                left = max(0.0, deadline - time.monotonic())
                message = await asyncio.wait_for(anext(messages), left)
                if not isinstance(message.payload, bytes):
                    continue
                reply = decode(Reply, message.payload)
                if reply.id == command.id:
                    replies[reply.robot] = reply
                    waiting.discard(reply.robot)
    except TimeoutError as error:
        raise LinkError(
            f"no answer within {timeout_s:g} s", field="robot", value=", ".join(sorted(waiting))
        ) from error
    except aiomqtt.MqttError as error:
        raise _away(host, port, error) from error
    return [replies[name] for name in sorted(replies)]


def _away(host: str, port: int, error: Exception) -> LinkError:
    return LinkError(
        f"the broker can't be reached ({error})",
        field="--broker",
        value=f"{host}:{port}",
        remedy="Is `armada server`, or the broker named with --broker.host, running there?",
    )


def as_json(message: Any) -> dict[str, Any]:
    """A message as a dictionary."""
    return dataclasses.asdict(message)
