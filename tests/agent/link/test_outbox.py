"""The outbox: events in order, over restarts, whatever was left on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.link import outbox as module
from agent.link.messages import Event
from agent.link.outbox import Outbox


def event(number: int) -> Event:
    return Event(id=str(number), robot="a", event="counted", cause="", time=0.0)


def drain(box: Outbox) -> list[int]:
    numbers = []
    while (first := box.first) is not None:
        numbers.append(int(first.id))
        box.sent(first)
    return numbers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.jsonl"


def test_first_in_first_out(path: Path) -> None:
    box = Outbox(path)
    for i in range(3):
        box.put(event(i))
    assert drain(box) == [0, 1, 2]
    assert box.first is None


def test_a_restart_goes_on_after_what_was_sent(path: Path) -> None:
    box = Outbox(path)
    for i in range(5):
        box.put(event(i))
    for _ in range(2):
        assert box.first is not None
        box.sent(box.first)
    again = Outbox(path)
    again.put(event(5))
    assert drain(Outbox(path)) == [2, 3, 4, 5]


def test_a_line_that_a_crash_tore_is_left_out(path: Path) -> None:
    box = Outbox(path)
    box.put(event(0))
    with path.open("ab") as file:
        file.write(b'{"id": "1", "rob')
    again = Outbox(path)
    again.put(event(2))
    assert drain(Outbox(path)) == [0, 2]


def test_what_a_power_cut_left_is_left_out(path: Path) -> None:
    box = Outbox(path)
    box.put(event(0))
    with path.open("ab") as file:
        file.write(b"\0" * 64 + b"\n[]\n{}\n")
    box.put(event(1))
    path.with_name("outbox.jsonl.sent").write_bytes(b"\0\0")
    assert drain(Outbox(path)) == [0, 1]


def test_when_it_is_full_the_older_half_goes_and_is_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EVENTS", 10)
    box = Outbox(path)
    assert [box.put(event(i)) for i in range(11)] == [0] * 10 + [6]
    assert drain(Outbox(path)) == [6, 7, 8, 9, 10]


def test_an_event_on_its_way_that_had_to_go_takes_no_other_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EVENTS", 4)
    box = Outbox(path)
    box.put(event(0))
    on_its_way = box.first
    assert on_its_way is not None
    for i in range(1, 5):
        box.put(event(i))
    box.sent(on_its_way)
    assert drain(box) == [3, 4]
