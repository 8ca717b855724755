"""The bad network of the benchmarks does what it says, by what a real client and server see."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.inference.link import Link
from tests.helpers import wait_until


@pytest.fixture
def echo() -> Iterator[str]:
    """The address of a server that sends back what it gets."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                made, _ = server.accept()
                threading.Thread(target=answer, args=(made,), daemon=True).start()

    def answer(made: socket.socket) -> None:
        with made, contextlib.suppress(OSError):
            while data := made.recv(1 << 16):
                made.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def link(echo: str) -> Iterator[Link]:
    with Link(echo) as link:
        yield link


def connect(link: Link) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=30.0)


def ask(made: socket.socket, data: bytes) -> float:
    """Until all of it is back, s."""
    began = time.monotonic()
    made.sendall(data)
    left = len(data)
    while left:
        left -= len(made.recv(left))
    return time.monotonic() - began


def test_it_forwards_and_counts(link: Link) -> None:
    with connect(link) as made:
        ask(made, b"x" * 100_000)
        assert link.tell("count") == {"up": 100_000, "down": 100_000, "connections": 1}


def test_delay_and_bandwidth_of_each_direction(link: Link) -> None:
    with connect(link) as made:
        link.tell("shape", up_s=0.3)
        assert ask(made, b"x") >= 0.3
        link.tell("shape", up_s=0.0, down_s=0.2)
        assert ask(made, b"x") >= 0.2
        link.tell("shape", down_s=0.0, up_bps=800_000)
        assert ask(made, b"x" * 30_000) >= 0.29, "30 kB at 100 kB/s"


def test_in_a_black_hole_all_waits_and_nothing_breaks(link: Link) -> None:
    with connect(link) as made:
        ask(made, b"x")
        link.tell("hole", on=True)
        made.sendall(b"lost?")
        made.settimeout(0.2)
        with pytest.raises(TimeoutError):
            made.recv(1)
        with connect(link) as late:
            late.sendall(b"me too")
            link.tell("hole", on=False)
            made.settimeout(30.0)
            assert made.recv(5) == b"lost?"
            assert late.recv(6) == b"me too"


def test_a_cut_resets_and_the_next_connection_is_well(link: Link) -> None:
    with connect(link) as made:
        ask(made, b"x")
        link.tell("cut")
        with pytest.raises(ConnectionResetError):
            made.recv(1)
    with connect(link) as made:
        ask(made, b"x")


def test_killed_it_comes_back_on_its_port(link: Link) -> None:
    with connect(link) as made:
        ask(made, b"x")
        port = link.port
        link.kill()
        with contextlib.suppress(ConnectionResetError):
            assert made.recv(1) == b""
    link.start()
    assert link.port == port
    with connect(link) as made:
        ask(made, b"x")
    wait_until(lambda: link.tell("count")["connections"] == 1)


def test_it_says_what_it_does_not_know(link: Link) -> None:
    with pytest.raises(ValueError, match="no such command"):
        link.tell("nonsense")
