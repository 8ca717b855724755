"""A bad network on loopback: ``python -m benchmarks.proxy --target 127.0.0.1:8080 --control PATH``.

Forwards TCP; prints ``{"port": …}`` when it does, and ends when its stdin does. A process of its
own: it can be killed and started again on the same ``--port``. Commands, as JSON lines on the Unix
socket ``--control`` (``tell``), each answered by one line:

=========  ====================================================================================
``shape``  ``up_s``, ``down_s``: delay of each direction; ``up_bps``, ``down_bps``: bits per
           second, 0: unlimited. *Up* is towards the target. What is not named stays as it is
``hole``   ``on``: nothing passes in either direction, and no connection breaks: what is under way,
           and whoever connects meanwhile, waits
``cut``    every connection is reset
``count``  nothing but the answer
=========  ====================================================================================

Every answer holds what was received so far: ``up``, ``down`` (bytes), and the ``connections`` that
were made.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_READ_B = 1 << 16
_MOST_WAITING_B = 64 << 20
"""Under way in one direction of one connection: a long fat pipe; then the sender has to wait."""


@dataclass
class Direction:
    """Up or down, of all connections."""

    delay_s: float = 0.0
    bps: float = 0.0
    passed: int = 0
    free_at: float = 0.0
    """When the line has carried all that it was given."""

    def due(self, size: int) -> float:
        """When this much that comes now has arrived at the other end."""
        now = time.monotonic()
        self.passed += size
        if self.bps:
            self.free_at = max(self.free_at, now) + 8 * size / self.bps
        return max(self.free_at if self.bps else now, now) + self.delay_s


class Pipe:
    """One direction of one connection; what arrives is delivered in its time.

    Args:
        reader, writer: Its ends.
        direction: Its delay and bandwidth.
        passes: Set unless there is a black hole.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
        passes: asyncio.Event,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._direction = direction
        self._passes = passes
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._came = asyncio.Event()
        self._room = asyncio.Event()

    async def receive(self) -> None:
        """Take what comes, until its end."""
        while True:
            await self._passes.wait()
            data = await self._reader.read(_READ_B)
            self._waiting.append((self._direction.due(len(data)), data))
            self._size += len(data)
            self._came.set()
            if not data:
                return
            while self._size > _MOST_WAITING_B:
                self._room.clear()
                await self._room.wait()

    async def deliver(self) -> None:
        """Give it out when it is due, and at the end say that it was all."""
        while True:
            while not self._waiting:
                self._came.clear()
                await self._came.wait()
            due, data = self._waiting.popleft()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._passes.wait()
            if not data:
                self._writer.write_eof()
                return
            self._writer.write(data)
            await self._writer.drain()
            self._size -= len(data)
            self._room.set()


@dataclass
class Proxy:
    """The forwarding and its state.

    Args:
        target: Host and port.
    """

    target: tuple[str, int]
    up: Direction = field(default_factory=Direction)
    down: Direction = field(default_factory=Direction)
    connections: int = 0

    def __post_init__(self) -> None:
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until either end closes it."""
        self.connections += 1
        self._writers.add(writer)
        try:
            await self._passes.wait()
            there, here = await asyncio.open_connection(*self.target)
        except OSError:
            _reset(writer)
            self._writers.discard(writer)
            return
        self._writers.add(here)
        pipes = (
            Pipe(reader, here, self.up, self._passes),
            Pipe(there, writer, self.down, self._passes),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                for pipe in pipes:
                    tasks.create_task(pipe.receive())
                    tasks.create_task(pipe.deliver())
        except* OSError:
            _reset(writer)
            _reset(here)
        finally:
            for end in (writer, here):
                self._writers.discard(end)
                end.close()

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command.

        Raises:
            ValueError: there is no such command.
        """
        do = command.pop("do")
        if do == "shape":
            for name, value in command.items():
                direction, _, what = name.partition("_")
                setattr(getattr(self, direction), {"s": "delay_s", "bps": "bps"}[what], value)
        elif do == "hole":
            (self._passes.clear if command["on"] else self._passes.set)()
        elif do == "cut":
            for writer in self._writers:
                _reset(writer)
        elif do != "count":
            raise ValueError(f"no such command: {do}")
        passed = {"up": self.up.passed, "down": self.down.passed}
        return passed | {"connections": self.connections}


def tell(control: Path, do: str, **arguments: Any) -> dict[str, Any]:
    """Give a running proxy a command; its answer.

    Raises:
        OSError: none runs there.
        ValueError: it refuses the command.
    """
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(10.0)
        made.connect(str(control))
        made.sendall(json.dumps({"do": do} | arguments).encode() + b"\n")
        with made.makefile() as answers:
            answer: dict[str, Any] = json.loads(answers.readline())
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer


def _reset(writer: asyncio.StreamWriter) -> None:
    made = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _serve(args: argparse.Namespace) -> None:
    host, _, port = args.target.rpartition(":")
    proxy = Proxy((host, int(port)))

    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = proxy.obey(json.loads(await reader.readline()))
        except (ValueError, LookupError, AttributeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
        writer.close()

    args.control.unlink(missing_ok=True)
    controls = await asyncio.start_unix_server(obey, args.control)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", args.port)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    # Its end is the end of whoever started it.
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()
    controls.close()
    args.control.unlink(missing_ok=True)


def main() -> int:
    """Forward until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="host:port")
    parser.add_argument("--control", type=Path, required=True, help="Unix socket for commands")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
