"""The link's end of the control socket, for asyncio."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.ipc import Channel, Message, connect
from robots.errors import LinkError

RETRY_S = 0.5
_UNTOLD = 100
"""Events kept for a control that isn't there yet."""

REPLY_S = 5.0


class ControlClient:
    """Hears telemetry and events, gives commands; connects again when control comes back.

    Args:
        path: The control socket.
        on_telemetry: Called with each telemetry.
        on_event: Called with each event.
        on_lost: Called when control is gone.
    """

    def __init__(
        self,
        path: Path,
        on_telemetry: Callable[[dict[str, Any]], None],
        on_event: Callable[[dict[str, Any]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._path = path
        self._on_telemetry = on_telemetry
        self._on_event = on_event
        self._on_lost = on_lost
        self._channel: Channel | None = None
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._untold: deque[dict[str, Any]] = deque(maxlen=_UNTOLD)

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                self._channel = connect(self._path)
            except LinkError:
                await asyncio.sleep(RETRY_S)
                continue
            self._channel.send("hello", role="link", pid=os.getpid(), subscribe=True)
            while self._untold:
                self._channel.send("event", **self._untold.popleft())
            await self._hear(self._channel)
            self._channel = None
            for future in self._replies.values():
                if not future.done():
                    future.set_exception(LinkError("the control process went away"))
            self._replies.clear()
            self._on_lost()

    async def _hear(self, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(channel.fileno(), readable.set)
        descriptor = channel.fileno()
        try:
            while not channel.closed:
                await readable.wait()
                readable.clear()
                for message in channel.receive():
                    self._dispatch(message)
                channel.flush()
        finally:
            loop.remove_reader(descriptor)

    def _dispatch(self, message: Message) -> None:
        if message.kind == "telemetry":
            self._on_telemetry(message.fields)
        elif message.kind == "event":
            if message.fields.get("via") != "link":
                self._on_event(message.fields)
        elif message.kind == "reply":
            future = self._replies.pop(str(message.fields.get("id")), None)
            if future is not None and not future.done():
                future.set_result(message.fields)

    def tell(self, event: dict[str, Any]) -> None:
        """Let everybody else on this host know of an event of the link's own."""
        if self._channel is None:
            self._untold.append(event)
        else:
            self._channel.send("event", **event)

    async def command(self, name: str, args: dict[str, Any]) -> Any:
        """Give control a command and return its result.

        Raises:
            LinkError: control isn't there, refuses or doesn't answer.
        """
        channel = self._channel
        number = str(next(self._ids))
        if channel is None or not channel.send("command", id=number, name=name, args=args):
            raise LinkError("the control process isn't there", field=name)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = future
        try:
            reply = await asyncio.wait_for(future, REPLY_S)
        except TimeoutError as error:
            raise LinkError("the control process doesn't answer", field=name) from error
        finally:
            self._replies.pop(number, None)
        if not reply.get("ok"):
            raise LinkError(str(reply.get("error")))
        return reply.get("result")
