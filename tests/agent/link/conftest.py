"""A broker, a listener, control's side of the socket and a link, started and ended for a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.mqtt import Broker, Control, LinkProcess, Listener


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path / "central").start()
    yield running
    running.end()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    hears = Listener(broker.port)
    yield hears
    hears.close()


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    stand_in = Control(tmp_path / "run" / "control.sock").start()
    yield stand_in
    stand_in.end()


@pytest.fixture
def make_link(tmp_path: Path) -> Iterator[Callable[..., LinkProcess]]:
    made: list[LinkProcess] = []

    def make(port: int, **config: Any) -> LinkProcess:
        folder = tmp_path / "agent"
        folder.mkdir(exist_ok=True)
        link = LinkProcess(folder, port, tmp_path / "run" / "control.sock", **config)
        made.append(link)
        return link

    yield make
    for link in made:
        link.clean_up()


@pytest.fixture
def link(
    request: pytest.FixtureRequest,
    broker: Broker,
    listener: Listener,
    control: Control,
    make_link: Callable[..., LinkProcess],
) -> LinkProcess:
    """A link that is connected on both sides."""
    running = make_link(broker.port, **getattr(request, "param", {})).start()

    def up() -> bool:
        control.telemetry(rate_hz=30.0)
        return listener.state() == "running"

    wait_until(up, what="the link is up")
    return running
