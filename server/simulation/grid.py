"""Flower's Grid as strategies see it, with clients by name and each reply told when it arrives.

Nodes are listed and replies handed over in order of name: which client is drawn and in which order
floats are added follows from the seed then, not from who was faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from robots.errors import FederationError

_POLL_S = 0.2


class NamedGrid(Grid):  # type: ignore[misc]
    """Delegates to Flower's Grid.

    Args:
        grid: Flower's.
        names: Node → client's name, for all that take part.
        on_sent: Called with the type of message and the number of clients it goes to.
        on_reply: Called with the client's name and its reply.
    """

    def __init__(
        self,
        grid: Grid,
        names: Mapping[int, str],
        *,
        on_sent: Callable[[str, int], None],
        on_reply: Callable[[str, Message], None],
    ) -> None:
        self._grid = grid
        self._names = names
        self._on_sent = on_sent
        self._on_reply = on_reply

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
        return sorted(self._names, key=self._names.__getitem__)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        ids: Iterable[str] = self._grid.push_messages(messages)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies: Iterable[Message] = self._grid.pull_messages(message_ids)
        return replies

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """As Flower's, in order of name.

        Raises:
            FederationError: nobody could train, or not all answered in time; says why.
        """
        sent = list(messages)
        if not sent:
            return []
        kind: str = sent[0].metadata.message_type
        self._on_sent(kind, len(sent))
        waiting = set(self.push_messages(sent))
        del sent
        deadline = time.monotonic() + timeout if timeout is not None else None
        replies: dict[str, Message] = {}
        while waiting:
            for reply in self.pull_messages(list(waiting)):
                waiting.discard(reply.metadata.reply_to_message_id)
                name = self._names[reply.metadata.src_node_id]
                replies[name] = reply
                self._on_reply(name, reply)
            if waiting and deadline is not None and time.monotonic() > deadline:
                raise FederationError(
                    f"{len(waiting)} clients did not answer within {timeout:g} s",
                    remedy="See the log of the simulation",
                )
            if waiting:
                time.sleep(_POLL_S)
        ordered = [replies[name] for name in sorted(replies)]
        if kind == MessageType.TRAIN and all(reply.has_error() for reply in ordered):
            raise FederationError(f"no client could train. {ordered[0].error.reason}")
        return ordered
