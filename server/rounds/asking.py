"""Asks nodes again and again until each has answered for good.

A message may be lost without a word (Flower 1.39: a node that was away between two polls), a node
may vanish and come back, a reply may take minutes to arrive. So every node is asked every few
seconds; a question that stays unanswered is given up after a while and asked again, and whichever
answer comes counts, since the same order is the same job.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from google.protobuf.message import DecodeError

from robots.errors import FederationError

_TURN_S = 0.5
_PULLERS = 2
"""Replies that are received at once. Flower waits for the parts of a reply that is still on its way
(up to 180 s after the last one, when the robot was cut off): others must get by."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often robots are asked.

    Args:
        ask_s: From an answer to the next question, s.
        patience_s: How long a question may stay unanswered until it is asked again, s.
        ttl_s: How long Flower keeps a question and its answer, s.
    """

    ask_s: float = 3.0
    patience_s: float = 60.0
    ttl_s: float = 300.0


_UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    DecodeError,
)
"""What Flower raises when it puts a reply together of parts that don't belong together. A SuperLink
that doesn't answer raises httpx's errors, which are none of these."""


class RoundEndedError(FederationError):
    """Nobody wants the round any more, or another run goes on with it."""


type Reply = Message | FederationError
"""What came of a question: a message, or why what came is none."""


@dataclass(frozen=True)
class _Question:
    node: str
    at: float


class Asker:
    """Puts questions to nodes and hands their replies over, one at a time.

    Memory: at most two replies, and one is looked at at a time.

    Args:
        grid: Flower's.
        kind: Type of the messages: train, evaluate or query.
        question: What a node is asked now.
        on_reply: Looks at a reply; called in other threads, never twice at once.
        pace: How often.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        kind: str,
        question: Callable[[str], RecordDict],
        on_reply: Callable[[str, Reply], None],
        pace: Pace,
    ) -> None:
        self._grid = grid
        self._kind = kind
        self._question = question
        self._on_reply = on_reply
        self._pace = pace
        self._lock = threading.Lock()
        self._waiting: dict[str, _Question] = {}
        self._pulls: dict[str, Future[None]] = {}
        self._next: dict[str, float] = {}
        self._closed = False
        self._pool = ThreadPoolExecutor(_PULLERS, thread_name_prefix="replies")

    def online(self) -> frozenset[str]:
        """Nodes that are there."""
        return frozenset(str(node) for node in self._grid.get_node_ids())

    def turn(self, nodes: Collection[str]) -> None:
        """Ask those of ``nodes`` whose turn it is, and receive what has come; about half a second.

        Raises:
            ArmadaError: as ``on_reply`` raises.
        """
        now = time.monotonic()
        with self._lock:
            busy = {q.node for q in self._waiting.values() if now - q.at < self._pace.patience_s}
            pulled = [self._waiting.get(i) for i, pull in self._pulls.items() if pull.running()]
            # One that has just been looked at waits no more, though its pull still runs.
            busy |= {question.node for question in pulled if question is not None}
        for node in sorted(set(nodes) - busy):
            if self._next.get(node, 0.0) <= now:
                self._ask(node)
        self._receive()

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """While no reply is looked at."""
        with self._lock:
            yield

    def close(self) -> None:
        """Look at no reply any more; one that is on its way belongs to whoever asks next."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, node: str) -> None:
        with self._lock:
            content = self._question(node)
        message = Message(
            content=content,
            message_type=self._kind,
            dst_node_id=int(node),
            ttl=self._pace.ttl_s,
        )
        (pushed,) = [*self._grid.push_messages([message])] or [None]
        self._next[node] = time.monotonic() + self._pace.ask_s
        if pushed is not None:
            with self._lock:
                self._waiting[pushed] = _Question(node, time.monotonic())

    def _receive(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        for question in waiting:
            if question not in self._pulls:
                self._pulls[question] = self._pool.submit(self._pull, question)
        deadline = time.monotonic() + _TURN_S
        for question, pull in list(self._pulls.items()):
            while not pull.done() and time.monotonic() < deadline:
                time.sleep(0.01)
            if pull.done():
                del self._pulls[question]
                pull.result()
        time.sleep(max(0.0, deadline - time.monotonic()))

    def _pull(self, question: str) -> None:
        with self._lock:
            asked = self._waiting.get(question)
        if asked is None:
            return
        replies: list[Reply] = []
        try:
            replies += self._grid.pull_messages([question])
        except _UNREADABLE as error:
            # Flower has confirmed it before it looked: it doesn't come again.
            what = f"{type(error).__name__}: {error}"
            replies.append(FederationError(f"can't be read: {what}", field="reply"))
        with self._lock:
            if not replies:
                if time.monotonic() - asked.at > self._pace.ttl_s:
                    self._waiting.pop(question, None)
                return
            self._waiting.pop(question, None)
            self._next[asked.node] = time.monotonic() + self._pace.ask_s
            if not self._closed:
                self._on_reply(asked.node, replies.pop())
