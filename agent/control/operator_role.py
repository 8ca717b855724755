"""Commands from whoever may give them: the local CLI, the MQTT link, the supervisor.

A command is answered at once; what takes longer shows up as events.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from agent.control.peers import Peer
from agent.ipc import Message
from robots.errors import ArmadaError

Handler = Callable[[dict[str, Any]], Any]
"""Takes the command's arguments, returns the result (JSON), raises ArmadaError to refuse."""

_TELL = ("supervisor", "link")


class OperatorRole:
    """Hands commands to their handlers.

    Args:
        handlers: Command name → handler.
        status: Fields of the welcome message.
        relay: Called with an event that a peer (supervisor, link) wants everybody to see, and
            that peer's role.
    """

    def __init__(
        self,
        handlers: dict[str, Handler],
        status: Callable[[], dict[str, Any]],
        relay: Callable[[dict[str, Any], str], None],
    ) -> None:
        self._handlers = handlers
        self._status = status
        self._relay = relay

    def welcome(self, peer: Peer) -> dict[str, Any]:
        return self._status()

    def on_message(self, peer: Peer, message: Message) -> None:
        if message.kind == "event":
            self._relay(_event(message, peer.role), peer.role)
            return
        if message.kind != "command":
            return
        name, args = message.fields.get("name"), message.fields.get("args") or {}
        reply: dict[str, Any] = {"id": message.fields.get("id"), "ok": True}
        handler = self._handlers.get(str(name))
        if handler is None or not isinstance(args, dict):
            known = ", ".join(sorted(self._handlers))
            reply |= {"ok": False, "error": f"no such command: {name}. One of: {known}"}
        else:
            try:
                reply["result"] = handler(args)
            except ArmadaError as error:
                reply |= {"ok": False, "error": str(error)}
        peer.channel.send("reply", **reply)

    def on_lost(self, peer: Peer) -> None:
        """Operators come and go."""


def _event(message: Message, role: str) -> dict[str, Any]:
    """An event as everybody may rely on it.

    Raises:
        ValueError: it is none, or not theirs to tell.
    """
    if role not in _TELL:
        raise ValueError(f"no events are taken from the {role}")
    time_s, data = message.fields.get("time"), message.fields.get("data", {})
    if not isinstance(time_s, int | float) or not math.isfinite(time_s):
        raise ValueError(f"time={time_s!r}: must be a number")
    if not isinstance(data, dict):
        raise ValueError(f"data={data!r}: must be an object")
    return {
        "event": message.text("event"),
        "cause": message.text("cause"),
        "time": time_s,
        "data": data,
    }
