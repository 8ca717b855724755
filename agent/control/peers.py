"""Everybody who talks to the control process: accept, hello, and who is who.

Nothing here blocks: the control loop polls it once a tick. What a peer says is handed to the
handler of its role; a peer that closes or dies is an end of file and is forgotten. So is one that
talks nonsense: it is hung up on, with one line in the log, and nobody else notices.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agent.ipc import Channel, Message, listen
from robots.errors import ArmadaError

logger = logging.getLogger(__name__)

_KEEPER = "supervisor"
_UNHEARD = 200

_MOST_PEERS = 64
"""An agent has fewer than ten; select() can't do with more than a thousand."""

_MOST_MESSAGES = 100
"""Of one peer in one tick; the rest are taken in the next."""

_REASON = 300
_MOST_PID = 1 << 22
_CREDENTIALS = struct.Struct("=iII")

_MAX_HEADER_B = 256 * 1024
"""No peer has so much to say; control parses it between two ticks."""

_NONSENSE = (
    ArmadaError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What comes of handling a message whose fields are not what they should be."""


@dataclass(eq=False)
class Peer:
    """One connected process.

    Args:
        role: policy, recorder, link, cli or supervisor.
        pid: Its process id, as it says.
        subscribed: Whether it wants telemetry and events.
        traced: Whether it wants every tick.
        hello: All that it said in its hello.
    """

    channel: Channel
    role: str = ""
    pid: int = 0
    subscribed: bool = False
    traced: bool = False
    hello: dict[str, Any] = field(default_factory=dict)


class Role(Protocol):
    """What the control loop does for one kind of peer."""

    def welcome(self, peer: Peer) -> dict[str, Any]:
        """Fields of the welcome message; called once per peer. Like ``on_message`` it may raise
        ``ValueError`` and its like for what it can't use: the peer is hung up on."""

    def on_message(self, peer: Peer, message: Message) -> None:
        """A message arrived."""

    def on_lost(self, peer: Peer) -> None:
        """The peer is gone."""


class Peers:
    """The listening socket and the connected peers.

    Args:
        path: Where to listen.
        roles: Handler per role; an unknown role is refused.
    """

    def __init__(self, path: Path, roles: dict[str, Role]) -> None:
        self._roles = roles
        self._listener = listen(path)
        self._peers: list[Peer] = []
        self._unheard: deque[dict[str, Any]] = deque(maxlen=_UNHEARD)

    def poll(self) -> None:
        """Take new peers, hand out all messages, forget the dead. Never blocks."""
        self._accept()
        for peer in list(self._peers):
            peer.channel.flush()
            if reason := self._hear(peer):
                self._hang_up(peer, reason)
            if peer.channel.closed:
                self._peers.remove(peer)
                if peer.role:
                    self._roles[peer.role].on_lost(peer)

    def publish(self, kind: str, fields: dict[str, Any]) -> None:
        """Send to all who subscribed; whoever is too slow to take it misses it.

        Events from before the supervisor is there, who keeps the event log, wait for it.
        """
        if kind == "event" and not any(p.role == _KEEPER and p.subscribed for p in self._peers):
            self._unheard.append(fields)
        for peer in self._peers:
            if peer.traced if kind == "tick" else peer.subscribed:
                peer.channel.send(kind, **fields)

    @property
    def traced(self) -> bool:
        """Whether anybody wants every tick."""
        return any(peer.traced for peer in self._peers)

    def close(self, drain_s: float = 0.5) -> None:
        """Say what is still to be said, then hang up."""
        for peer in self._peers:
            peer.channel.drain(drain_s)
            peer.channel.close()
        self._listener.close()

    def _accept(self) -> None:
        while len(self._peers) < _MOST_PEERS:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                # Nobody, or no descriptor is left for it: then it waits until one is.
                return
            channel = Channel(sock, max_header_b=_MAX_HEADER_B)
            self._peers.append(Peer(channel, pid=_pid(sock)))

    def _hear(self, peer: Peer) -> str:
        """Hand out what it says; why it must be hung up on, if it must."""
        for message in peer.channel.receive(_MOST_MESSAGES):
            try:
                self._dispatch(peer, message)
            except _NONSENSE as error:
                return f"{message.kind}: {type(error).__name__}: {error}"
        return peer.channel.fault

    def _hang_up(self, peer: Peer, reason: str) -> None:
        reason = " ".join(reason.split())[:_REASON]
        logger.warning("hung up on the %s, pid %d: %s", peer.role or "stranger", peer.pid, reason)
        peer.channel.send("refused", message=reason)
        peer.channel.close()

    def _dispatch(self, peer: Peer, message: Message) -> None:
        if peer.role:
            self._roles[peer.role].on_message(peer, message)
            return
        role = message.fields.get("role")
        if message.kind != "hello" or not isinstance(role, str) or role not in self._roles:
            raise ValueError(f"expected a hello with a role of {[*self._roles]}")
        if "pid" in message.fields:
            peer.pid = message.whole("pid", high=_MOST_PID)
        peer.subscribed = bool(message.fields.get("subscribe", False))
        peer.traced = bool(message.fields.get("trace", False))
        peer.hello = message.fields
        welcome = self._roles[role].welcome(peer)
        peer.role = role
        peer.channel.send("welcome", **welcome)
        while role == _KEEPER and peer.subscribed and self._unheard:
            peer.channel.send("event", **self._unheard.popleft())


def _pid(sock: socket.socket) -> int:
    """The peer's process id by the kernel's account; 0 where it has none."""
    with contextlib.suppress(AttributeError, OSError, struct.error):
        said = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(said)[0])
    return 0


Emit = Callable[..., None]
"""``emit(kind, cause, **data)``: tell subscribers, and so MQTT and the event log."""
