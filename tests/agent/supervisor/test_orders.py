"""Signals to control from before its loop runs are remembered or end it, once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agent.control.__main__ import Orders


class Loop:
    """What is asked of a control loop."""

    def __init__(self) -> None:
        self.stops: list[str] = []
        self.released = 0
        self.arm = self

    def stop(self, reason: str) -> None:
        self.stops.append(reason)

    def release(self) -> None:
        self.released += 1

    def soon(self, order: Any) -> None:
        order()


def _send(number: signal.Signals) -> None:
    """To this thread: where others don't block it, it would be theirs, and the end of them all."""
    signal.pthread_kill(threading.get_ident(), number)


@pytest.fixture
def orders() -> Iterator[Orders]:
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    orders = Orders()
    yield orders
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_stop_from_before_it_listened_is_obeyed_when_there_is_a_loop(orders: Orders) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    _send(signal.SIGUSR1)
    orders.listen()
    loop: Any = Loop()
    orders.hand_over(loop)
    assert loop.stops == ["local signal SIGUSR1"]
    _send(signal.SIGUSR1)
    assert len(loop.stops) == 2


def test_the_end_interrupts_what_is_being_built_but_not_how_it_is_given_back(
    orders: Orders,
) -> None:
    orders.listen()
    with pytest.raises(SystemExit) as ended:
        _send(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    _send(signal.SIGTERM)
    loop: Any = Loop()
    with pytest.raises(SystemExit):
        orders.hand_over(loop)
    assert loop.released == 1
