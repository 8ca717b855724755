"""A SuperNode whose loop hangs is ended; one that waits with a reason is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from agent.federation.watchdog import Watchdog
from tests.helpers import free_port, wait_until


@pytest.fixture
def superlink() -> Iterator[str]:
    """Something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_silence_while_the_superlink_listens_ends_the_process(superlink: str) -> None:
    ended: list[int] = []
    watchdog = Watchdog(superlink, end=ended.append, silent_s=0.2, look_s=0.02)

    watchdog.start()

    wait_until(lambda: ended)
    assert ended == [75]


def test_answers_keep_it_alive(superlink: str) -> None:
    watchdog = Watchdog(superlink, end=print, silent_s=0.0)
    assert watchdog.stuck()

    watchdog = Watchdog(superlink, end=print, silent_s=60.0)
    watchdog.alive()
    assert not watchdog.stuck()


def test_a_link_that_is_down_is_no_hang() -> None:
    watchdog = Watchdog(f"127.0.0.1:{free_port()}", end=print, silent_s=0.0)

    assert not watchdog.stuck()


def test_a_client_app_may_take_its_time(superlink: str) -> None:
    watchdog = Watchdog(superlink, end=print, silent_s=0.0)

    watchdog.waits()
    assert not watchdog.stuck()
    watchdog.alive()
    assert watchdog.stuck()
