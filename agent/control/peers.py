"""Everybody who talks to the control process: accept, hello, and who is who.

Nothing here blocks: the control loop polls it once a tick. What a peer says is handed to the
handler of its role; a peer that closes, misbehaves or dies is an end of file and is forgotten.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agent.ipc import Channel, Message, listen

logger = logging.getLogger(__name__)

_KEEPER = "supervisor"
_UNHEARD = 200


@dataclass(eq=False)
class Peer:
    """One connected process.

    Args:
        role: policy, recorder, link, cli or supervisor.
        pid: Its process id, as it says.
        subscribed: Whether it wants telemetry and events.
        hello: All that it said in its hello.
    """

    channel: Channel
    role: str = ""
    pid: int = 0
    subscribed: bool = False
    hello: dict[str, Any] = field(default_factory=dict)


class Role(Protocol):
    """What the control loop does for one kind of peer."""

    def welcome(self, peer: Peer) -> dict[str, Any]:
        """Fields of the welcome message; called once per peer."""

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
            for message in peer.channel.receive():
                self._dispatch(peer, message)
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
            if peer.subscribed:
                peer.channel.send(kind, **fields)

    def close(self, drain_s: float = 0.5) -> None:
        """Say what is still to be said, then hang up."""
        for peer in self._peers:
            peer.channel.drain(drain_s)
            peer.channel.close()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            self._peers.append(Peer(Channel(sock)))

    def _dispatch(self, peer: Peer, message: Message) -> None:
        if peer.role:
            self._roles[peer.role].on_message(peer, message)
            return
        role = message.fields.get("role")
        if message.kind != "hello" or role not in self._roles:
            peer.channel.send(
                "refused", message=f"expected a hello with a role of {[*self._roles]}"
            )
            peer.channel.close()
            return
        peer.role = role
        peer.pid = int(message.fields.get("pid", 0))
        peer.subscribed = bool(message.fields.get("subscribe", False))
        peer.hello = message.fields
        peer.channel.send("welcome", **self._roles[role].welcome(peer))
        while role == _KEEPER and peer.subscribed and self._unheard:
            peer.channel.send("event", **self._unheard.popleft())


Emit = Callable[..., None]
"""``emit(kind, cause, **data)``: tell subscribers, and so MQTT and the event log."""
