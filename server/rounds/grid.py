"""Flower's Grid, with each reply shown as it arrives instead of all of them at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

_POLL_S = 1.0


class WatchedGrid(Grid):  # type: ignore[misc]
    """Delegates to Flower's Grid.

    Args:
        grid: Flower's.
        on_reply: Called with each reply when it has arrived.
        on_missing: Called with the node of each message that wasn't answered in time.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        on_reply: Callable[[Message], Any],
        on_missing: Callable[[int], Any],
    ) -> None:
        self._grid = grid
        self._on_reply = on_reply
        self._on_missing = on_missing

    def set_run(self, run: Run) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        return self._grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        node_ids: Iterable[int] = self._grid.get_node_ids()
        return node_ids

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        message_ids: Iterable[str] = self._grid.push_messages(messages)
        return message_ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies: Iterable[Message] = self._grid.pull_messages(message_ids)
        return replies

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """As Flower's, one reply at a time."""
        sent = list(messages)
        if not sent:
            return []
        nodes = [message.metadata.dst_node_id for message in sent]
        waiting = dict(zip(self.push_messages(sent), nodes, strict=True))
        del sent
        deadline = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while waiting:
            for reply in self.pull_messages(list(waiting)):
                waiting.pop(reply.metadata.reply_to_message_id, None)
                self._on_reply(reply)
                replies.append(reply)
            if waiting and deadline is not None and time.monotonic() > deadline:
                for node in waiting.values():
                    self._on_missing(node)
                break
            if waiting:
                time.sleep(_POLL_S)
        return replies
