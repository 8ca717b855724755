"""Messages over a Unix stream socket that never make the sender wait.

A message is a JSON object plus raw bytes: ``!II`` (length of the header, length of the payload),
the header as UTF-8 JSON, the payload. A channel keeps what the kernel would not take in an outbox
of bounded size; when that is full a message is refused, never awaited: the control loop owns one
end. A peer that died is an end of file, so liveness needs no protocol of its own.

Both ends belong to one user on one host; the socket's folder has mode 0700. What a peer says may
still be nonsense: a stream that can't be read closes the channel, and ``fault`` says why; a field
of the wrong type raises ``ValueError`` when it is asked for (``Message.text``, ``.number``,
``.whole``).
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robots.errors import LinkError

_HEAD = struct.Struct("!II")
_MAX_MESSAGE_B = 64 * 1024 * 1024
"""Far above any message; a larger length means that the stream is out of step."""

_MAX_HEADER_B = 4 * 1024 * 1024
"""A header is parsed in one go."""

_READ_B = 1 << 16
_READS = 64
"""How much is taken in at once: whoever sends without end must not keep its reader for ever."""

_OUTBOX_B = 4 * 1024 * 1024
"""Seconds of telemetry for a peer that is stopped; after that, messages to it are dropped."""


@dataclass(frozen=True)
class Message:
    """One message: ``kind`` says what it is, ``fields`` are JSON values, ``payload`` raw bytes."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""

    def encode(self) -> bytes:
        header = json.dumps({**self.fields, "kind": self.kind}, separators=(",", ":")).encode()
        return _HEAD.pack(len(header), len(self.payload)) + header + self.payload

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def text(self, name: str) -> str:
        """A field that is a text.

        Raises:
            ValueError: it is not, or not there.
        """
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise ValueError(f"{name}={value!r}: must be a text")
        return value

    def number(self, name: str, *, low: float = 0.0, high: float = 1e9) -> float:
        """A field that is a number from ``low`` to ``high``.

        Raises:
            ValueError: it is not, or not there.
        """
        value = self.fields.get(name)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not low <= value <= high
        ):
            raise ValueError(f"{name}={value!r}: must be a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, name: str, *, low: int = 0, high: int = 1 << 53) -> int:
        """A field that is a whole number from ``low`` to ``high``.

        Raises:
            ValueError: it is not, or not there.
        """
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{name}={value!r}: must be a whole number from {low} to {high}")
        return value


class Channel:
    """One end of a connection. Not thread-safe: one owner, as every process here has one loop.

    Args:
        sock: Connected.
        max_header_b: A larger header closes the channel.
    """

    def __init__(self, sock: socket.socket, *, max_header_b: int = _MAX_HEADER_B) -> None:
        sock.setblocking(False)
        self._max_header_b = max_header_b
        self._sock = sock
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._deaf = False
        self.closed = False
        self.fault = ""

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def pending(self) -> bool:
        """Whether bytes wait for the kernel to take them (poll for writability then)."""
        return bool(self._outbox)

    def send(self, kind: str, /, payload: bytes = b"", **fields: Any) -> bool:
        """Queue a message and hand the kernel what it takes; never blocks.

        Returns ``False`` when the message was dropped: the peer is gone or its outbox is full.
        """
        if self.closed or self._deaf or len(self._outbox) > _OUTBOX_B:
            return False
        self._outbox += Message(kind, fields, payload).encode()
        self.flush()
        return not self._deaf

    def flush(self) -> None:
        """Hand the kernel as much of the outbox as it takes."""
        while self._outbox:
            try:
                sent = self._sock.send(self._outbox)
            except BlockingIOError:
                return
            except OSError:
                # The peer is gone; what it said before is still to be read, up to its end of file.
                self._deaf = True
                self._outbox.clear()
                return
            del self._outbox[:sent]

    def receive(self, at_most: int | None = None) -> list[Message]:
        """The messages that have arrived, the rest of more than ``at_most`` the next time; never
        blocks. ``closed`` is set at the end of file."""
        messages: list[Message] = []
        for _ in range(_READS):
            self._take(messages, at_most)
            if self.closed or len(messages) == at_most:
                break
            try:
                data = self._sock.recv(_READ_B)
            except BlockingIOError:
                break
            except ConnectionResetError:
                # Said once, when the peer died with bytes of ours unread; its own are still there.
                continue
            except OSError:
                self.close()
                break
            if not data:
                self.close()
                break
            self._inbox += data
        else:
            self._take(messages, at_most)
        return messages

    def wait(self, timeout_s: float | None) -> list[Message]:
        """Block until a message has arrived, the peer is gone or the time is up (for peers of the
        control loop, which have nothing else to do)."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            messages = self.receive()
            if messages or self.closed:
                return messages
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return []
            self.flush()
            write = [self] if self._outbox else []
            select.select([self], write, [], left)

    def drain(self, timeout_s: float) -> None:
        """Flush, waiting at most ``timeout_s``: for last words before an exit."""
        deadline = time.monotonic() + timeout_s
        while self._outbox and not self.closed and (left := deadline - time.monotonic()) > 0:
            select.select([], [self], [], left)
            self.flush()

    def close(self) -> None:
        self.closed = True
        self._outbox.clear()
        self._sock.close()

    def _take(self, messages: list[Message], at_most: int | None) -> None:
        """Whole messages off the front of the inbox."""
        while len(messages) != at_most and (message := self._next()) is not None:
            messages.append(message)

    def _next(self) -> Message | None:
        if len(self._inbox) < _HEAD.size:
            return None
        header_b, payload_b = _HEAD.unpack_from(self._inbox)
        if header_b > self._max_header_b or header_b + payload_b > _MAX_MESSAGE_B:
            self._nonsense(f"a message of {header_b} + {payload_b} bytes")
            return None
        end = _HEAD.size + header_b + payload_b
        if len(self._inbox) < end:
            return None
        try:
            fields = json.loads(self._inbox[_HEAD.size : _HEAD.size + header_b])
        except (ValueError, RecursionError) as error:
            self._nonsense(f"a header that is not JSON: {error}")
            return None
        payload = bytes(self._inbox[_HEAD.size + header_b : end])
        del self._inbox[:end]
        kind = fields.pop("kind", None) if isinstance(fields, dict) else None
        if not isinstance(kind, str):
            self._nonsense("a header that is no object with a kind")
            return None
        return Message(kind, fields, payload)

    def _nonsense(self, what: str) -> None:
        """Nothing after it can be trusted either."""
        self.fault = what
        self._inbox.clear()
        self.close()


def listen(path: Path) -> socket.socket:
    """A non-blocking listening socket at ``path``; a stale file from a crash is replaced.

    The caller holds the agent's lock, so nobody else can be listening there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    hidden = path.with_name(path.name + ".new")
    hidden.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(hidden))
    hidden.chmod(0o600)
    sock.listen(16)
    sock.setblocking(False)
    # Whoever sees the file is answered.
    hidden.replace(path)
    return sock


def connect(path: Path, *, timeout_s: float = 0.0) -> Channel:
    """Connect to the control process, trying for ``timeout_s`` while it is not up yet.

    Raises:
        LinkError: nobody listens there.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
        except OSError as error:
            sock.close()
            if time.monotonic() >= deadline:
                raise LinkError(
                    "no agent listens on its control socket",
                    field="control socket",
                    value=path,
                    remedy="Start `armada run` with the same --state_dir",
                ) from error
            time.sleep(0.05)
        else:
            return Channel(sock)
