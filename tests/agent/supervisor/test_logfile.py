"""Logs don't grow for ever, while their processes write them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from agent.supervisor import logfile
from agent.supervisor.child import Child, ChildSpec
from tests.helpers import wait_until

TALKS = """
import sys, time
for number in range(10**6):
    print(f"line {number:08}", flush=True)
    time.sleep(0.0005)
"""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "MOST_BYTES", 1400)


def test_the_log_of_a_child_that_talks_without_end_stays_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.supervisor.child.EVERY_S", 0.0)
    log, old = tmp_path / "log", tmp_path / "log.1"
    child = Child(ChildSpec(name="test", argv=[sys.executable, "-c", TALKS], log=log))
    child.start()
    try:

        def moved() -> int:
            child.poll()
            return last(old)

        wait_until(lambda: moved() > 500)
        # Where it was emptied it is written from its beginning: no hole is left before.
        assert b"\0" not in log.read_bytes() + old.read_bytes()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "log.1"]
    finally:
        child.signal(signal.SIGKILL)
        child.end(grace_s=5.0)


def last(path: Path) -> int:
    """The number of the last whole line."""
    lines = path.read_text().splitlines() if path.exists() else []
    return max((int(line[5:]) for line in lines if len(line) == 13), default=-1)


def test_of_very_much_the_end_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"a" * 5000 + b"b" * 2800)
    logfile.shorten(log)
    assert (log.stat().st_size, (tmp_path / "log.1").read_bytes()) == (0, b"b" * 2800)


def test_one_that_is_short_or_missing_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    logfile.shorten(log)
    log.write_bytes(b"a" * 1400)
    logfile.shorten(log)
    assert [p.name for p in tmp_path.iterdir()] == ["log"]


def test_a_child_that_starts_again_and_again_has_a_short_log_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"a" * 2000)
    with logfile.open_log(log) as file:
        file.write(b"anew")
    assert (log.read_bytes(), (tmp_path / "log.1").stat().st_size) == (b"anew", 2000)


def test_where_nothing_can_be_kept_the_room_is_given_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"a" * 2000)
    (tmp_path / "log.1").symlink_to("/dev/full")
    logfile.shorten(log)
    assert log.stat().st_size == 0
    assert "can't be shortened: [Errno 28]" in caplog.text
