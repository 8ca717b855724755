"""A channel carries messages whole, never blocks its sender, and sees its peer die."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.ipc import Channel, connect, listen
from robots.errors import LinkError


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    a, b = socket.socketpair()
    left, right = Channel(a), Channel(b)
    yield left, right
    left.close()
    right.close()


def test_a_message_arrives_with_its_fields_and_payload(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    assert left.send("chunk", b"\x00\x01\xff", request=7, shape=[50, 6])

    (message,) = right.wait(5)

    assert message.kind == "chunk"
    assert message["request"] == 7
    assert message["shape"] == [50, 6]
    assert message.payload == b"\x00\x01\xff"


def test_messages_keep_their_order_and_their_borders(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    for i in range(1000):
        left.send("n", bytes(i), i=i)
    got: list[tuple[int, int]] = []
    while len(got) < 1000:
        got += [(m["i"], len(m.payload)) for m in right.wait(5)]
        left.flush()
    assert got == [(i, i) for i in range(1000)]


def test_a_peer_that_does_not_read_costs_messages_and_never_time(
    pair: tuple[Channel, Channel],
) -> None:
    left, _ = pair
    sent = [left.send("frame", bytes(100_000)) for _ in range(200)]
    assert sent[0]
    assert not sent[-1], "beyond the outbox a message is refused"
    assert left.pending


def test_the_end_of_the_peer_is_seen(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    left.send("last", word="bye")
    left.close()
    (message,) = right.wait(5)
    assert message["word"] == "bye", "what was said before the end still counts"
    assert right.wait(5) == []
    assert right.closed
    assert not right.send("anybody")


def test_a_stream_out_of_step_is_closed_not_trusted(pair: tuple[Channel, Channel]) -> None:
    a, b = socket.socketpair()
    right = Channel(b)
    a.send(b"\xff" * 64)
    assert right.receive() == []
    assert right.closed
    a.close()


def test_a_killed_process_is_an_end_of_file(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = listen(path)
    listener.settimeout(30)
    code = (
        "import time; from pathlib import Path; from agent.ipc import connect\n"
        f"c = connect(Path({str(path)!r})); c.send('hello', role='test'); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    sock, _ = listener.accept()
    channel = Channel(sock)
    assert channel.wait(30)[0].kind == "hello"

    os.kill(process.pid, signal.SIGKILL)

    assert channel.wait(30) == []
    assert channel.closed
    process.wait()
    listener.close()


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listen(path).close()
    listener = listen(path)
    connect(path).close()
    listener.close()


def test_nobody_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"no agent listens.*armada run"):
        connect(tmp_path / "nobody")
