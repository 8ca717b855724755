"""Whatever a peer says, the worst that happens is that it is hung up on; the loop goes on."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.control.asking import Asking
from agent.control.chunk_stats import ChunkStats
from agent.control.operator_role import OperatorRole
from agent.control.peers import _MOST_PEERS, Peers
from agent.control.policy_role import SLOTS, PolicyRole
from agent.control.recorder_role import RecorderRole
from agent.control.timeline import Timeline
from agent.ipc import Channel, FrameBuffer, FrameLayout, connect
from tests.helpers import wait_until

LAYOUT = FrameLayout(("a.pos", "b.pos"), ("a.pos", "b.pos"), ())
STATE = np.zeros(2, np.float32)
WORKER = {"kind": "hello", "role": "policy", "pid": 7, "generation": 1}
READY = {"kind": "ready", "digest": "d", "chunk_size": 10}


class Bench:
    """All roles on a real socket, polled by hand."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "s"
        self.events: list[tuple[str, str]] = []
        self.told: list[dict[str, Any]] = []
        self.policy = PolicyRole(
            buffer=FrameBuffer(folder / "o", LAYOUT, SLOTS, create=True),
            timeline=Timeline(),
            stats=ChunkStats(),
            emit=self._emit,
            welcome={"task": "t"},
            asking=Asking(0.1),
            deadline_s=60.0,
        )
        self.recorder = RecorderRole(
            buffer=FrameBuffer(folder / "r", LAYOUT, 4, create=True),
            emit=self._emit,
            welcome={},
            on_gone=lambda: None,
        )
        operators = OperatorRole(
            {"status": lambda args: 1, "task": lambda args: args["task"].strip()},
            dict,
            lambda fields, role: self.told.append(fields),
        )
        others = dict.fromkeys(("supervisor", "link", "cli"), operators)
        self.peers = Peers(self.path, {"policy": self.policy, "recorder": self.recorder, **others})

    def _emit(self, kind: str, cause: str, **data: Any) -> None:
        self.events.append((kind, cause))

    def connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(self.path))
        return peer

    def say(self, *parts: bytes) -> None:
        """A peer that says this and goes."""
        peer = self.connect()
        self.peers.poll()
        for part in parts:
            peer.setblocking(False)
            try:
                peer.sendall(part)
            except OSError:
                break
            self.peers.poll()
            self.policy.step(0)
            self.policy.offer(0, STATE, {})
        peer.close()
        self.peers.poll()
        assert not self.peers._peers, "it is gone, whatever it said"

    def answers(self) -> bool:
        """Whether an operator gets an answer."""
        channel = connect(self.path)
        channel.send("hello", role="cli", pid=os.getpid())
        channel.send("command", id=1, name="status")
        self.peers.poll()
        kinds = [m.kind for m in channel.wait(5)]
        channel.close()
        self.peers.poll()
        return kinds == ["welcome", "reply"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("nonsense"))
    yield bench
    bench.peers.close()


def packed(fields: object, payload: bytes = b"") -> bytes:
    header = json.dumps(fields).encode()
    return struct.pack("!II", len(header), len(payload)) + header + payload


NAMES = (
    *("kind", "role", "pid", "generation", "subscribe", "digest", "chunk_size", "request", "shape"),
    *("slot", "episodes", "frames", "message", "name", "args", "id", "event", "cause", "time"),
    *("data", "self", "payload", "via", "chunk_s", "again_s"),
)
WORDS = (
    *("hello", "policy", "recorder", "supervisor", "link", "cli", "ready", "chunk", "error"),
    *("failed", "free", "saved", "repaired", "command", "event", "status", "task"),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-1, 12)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
KINDS = st.sampled_from(WORDS).map(lambda kind: {"kind": kind})
MESSAGES = st.builds(
    lambda fields, kind, payload: packed(fields | kind, payload),
    FIELDS,
    KINDS | st.just({}),
    st.binary(max_size=90),
)
HELLOS = st.builds(
    lambda role, generation: packed(
        {"kind": "hello", "role": role, "pid": 7, "generation": generation, "subscribe": True}
    ),
    st.sampled_from(["policy", "recorder", "supervisor", "link", "cli"]),
    st.integers(0, 3),
)


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.lists(st.binary(max_size=64) | MESSAGES | VALUES.map(packed), max_size=6))
def test_a_stranger_may_say_anything(bench: Bench, data: list[bytes]) -> None:
    bench.say(*data)


@settings(
    max_examples=500,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(hello=HELLOS, data=st.lists(MESSAGES, max_size=5))
def test_a_peer_that_is_known_may_say_anything(
    bench: Bench, hello: bytes, data: list[bytes]
) -> None:
    ready = [packed(READY | {"episodes": 0, "frames": 0})]
    bench.say(hello, *ready, *data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ((struct.pack("!II", 3, 0) + b"xyz",), "stranger, pid .*: a header that is not JSON"),
        ((struct.pack("!II", 1 << 19, 0),), "a message of 524288"),
        ((packed({"a": 1}),), "no object with a kind"),
        ((packed([1]),), "no object with a kind"),
        ((struct.pack("!II", 90_000, 0) + b"[" * 90_000,), "not JSON"),
        ((packed({"kind": "hello", "role": ["cli"]}),), "expected a hello"),
        ((packed({"kind": "hello", "role": "cli", "pid": "x"}),), "pid='x': must be a whole"),
        ((packed({"kind": "hello", "role": "policy"}),), "generation=None"),
        ((packed(WORKER), packed(READY | {"chunk_size": -1})), "policy, pid 7: .*chunk_size=-1"),
        ((packed(WORKER), packed(READY | {"chunk_s": "1"})), "chunk_s='1': must be a number"),
        ((packed(WORKER), packed(READY | {"chunk_s": float("nan")})), "chunk_s=nan: must be a"),
        (
            (packed({"kind": "hello", "role": "recorder"}), packed({"kind": "free", "slot": 4})),
            "recorder, .*slot=4: must be a whole number from 0 to 3",
        ),
        (
            (packed({"kind": "hello", "role": "recorder"}), packed({"kind": "free", "slot": 2})),
            "slot=2: it is free already",
        ),
        (
            (packed({"kind": "hello", "role": "cli"}), packed({"kind": "event", "event": "x"})),
            "no events are taken from the cli",
        ),
        (
            (
                packed({"kind": "hello", "role": "cli"}),
                packed({"kind": "command", "name": "task", "args": {"task": 3}}),
            ),
            "cli, .*AttributeError",
        ),
    ],
)
def test_one_line_says_who_was_hung_up_on_and_why(
    bench: Bench, caplog: pytest.LogCaptureFixture, data: tuple[bytes, ...], says: str
) -> None:
    with caplog.at_level(logging.WARNING, "agent.control.peers"):
        bench.say(*data)
    (record,) = caplog.records
    assert re.search(f"hung up on the .*{says}", record.getMessage())
    assert bench.answers()


def test_a_second_recorder_does_not_take_the_place_of_the_first(bench: Bench) -> None:
    first = connect(bench.path)
    first.send("hello", role="recorder", pid=1)
    second = connect(bench.path)
    second.send("hello", role="recorder", pid=2)
    bench.peers.poll()
    assert [m.kind for m in first.wait(5)] == ["welcome"]
    assert [m.kind for m in second.wait(5)] == ["refused"]
    first.send("ready", episodes=3, frames=9)
    bench.peers.poll()
    assert bench.recorder.episodes == 3
    first.close()
    bench.peers.poll()


@pytest.mark.parametrize(
    ("shape", "payload", "says"),
    [
        ([1, 2], np.array([1, np.nan], np.float32).tobytes(), "none"),
        ([1, 2], np.array([1, np.inf], np.float32).tobytes(), "none"),
        ([2, 1], bytes(8), "shape"),
        ([1, 3], bytes(12), "shape"),
        ([1, 2], bytes(7), "7 bytes"),
        ([-1, 2], bytes(8), "shape"),
        ([0, 2], b"", "shape"),
        ([True, 2], bytes(8), None),
        ("1", bytes(8), "shape"),
        (None, bytes(8), "shape"),
    ],
)
def test_a_wrong_chunk_is_an_error_of_its_request(
    bench: Bench, shape: object, payload: bytes, says: str | None
) -> None:
    worker = connect(bench.path)
    worker.send("hello", role="policy", pid=7, generation=1)
    worker.send("ready", digest="d", chunk_size=10)
    bench.peers.poll()
    bench.policy.reset()
    bench.policy.offer(0, STATE, {})
    request = _asked(worker)
    bench.events.clear()
    worker.send("chunk", payload, request=request, shape=shape)
    bench.peers.poll()
    if says is not None:
        assert [kind for kind, _ in bench.events] == ["policy_error"]
        assert says in bench.events[0][1]
        (kept,) = bench.policy._workers
        wait_until(
            lambda: kept.may_be_asked(bench.policy.epoch), what="the pause after an error is over"
        )
        bench.policy.offer(1, STATE, {})
        assert _asked(worker) > request, "the next one may go"
    assert not worker.closed
    worker.close()
    bench.peers.poll()


def _asked(worker: Channel) -> int:
    heard = [m for m in worker.wait(5) if m.kind == "observe"]
    while not heard:
        heard = [m for m in worker.wait(5) if m.kind == "observe"]
        assert not worker.closed
    return heard[-1].whole("request")


def test_a_peer_that_never_ends_costs_a_tick_no_more_than_its_share(bench: Bench) -> None:
    flood = bench.connect()
    flood.setblocking(False)
    line = packed({"kind": "hello", "role": "cli"}) + packed({"kind": "nothing"}) * 2000
    flood.send(line)
    bench.peers.poll()
    (peer,) = bench.peers._peers
    assert len(peer.channel._inbox) > 0, "the rest is for the next ticks"
    assert bench.answers()
    flood.close()
    while bench.peers._peers:
        bench.peers.poll()


def test_more_peers_than_there_can_be_wait_outside(bench: Bench) -> None:
    crowd = []
    for _ in range(_MOST_PEERS):
        crowd.append(bench.connect())
        bench.peers.poll()
    late = connect(bench.path)
    late.send("hello", role="cli")
    bench.peers.poll()
    assert len(bench.peers._peers) == _MOST_PEERS
    for peer in crowd:
        peer.close()
    bench.peers.poll()
    bench.peers.poll()
    assert [m.kind for m in late.wait(5)] == ["welcome"]
    late.close()
    bench.peers.poll()
