"""A log behind a queue: whoever logs never waits, and what was logged is there after the exit."""

from __future__ import annotations

import subprocess
import sys

from agent.logs import QUEUED

_HEAD = "import logging, sys; from agent.logs import configure; configure(queued=True)\n"


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _HEAD + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_last_line_is_there_after_an_exit() -> None:
    process = start(
        "for i in range(5000): logging.info('line %d', i)\nlogging.error('why %s', 1)\nsys.exit(2)"
    )
    _, said = process.communicate(timeout=60)
    lines = said.splitlines()
    assert process.returncode == 2
    assert len(lines) == 5001
    assert lines[-1].endswith(" ERROR root: why 1")
    assert lines[0].endswith(" INFO root: line 0")


def test_a_crash_comes_after_what_was_logged_before_it() -> None:
    process = start(
        "for i in range(3000): logging.info('line %d', i)\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: logging.exception('caught')\n"
        "raise RuntimeError('the end')"
    )
    _, said = process.communicate(timeout=60)
    lines = said.splitlines()
    assert lines[-1] == "RuntimeError: the end"
    caught = next(i for i, line in enumerate(lines) if line.endswith(" ERROR root: caught"))
    assert caught == 3000
    assert lines[caught + 1].startswith("Traceback")
    assert said.count("ZeroDivisionError: division by zero") == 1


def test_a_disk_that_stands_still_holds_nobody() -> None:
    """Nobody reads the pipe that is stderr here until everything was logged."""
    process = start(
        f"for i in range({QUEUED} + 20_000): logging.info('line %d', i)\n"
        "print('logged', flush=True)\n"
        "sys.stdin.read()\n"
        "logging.error('last')"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    _, said = process.communicate(timeout=60)
    lines = said.splitlines()
    assert QUEUED <= len(lines) < QUEUED + 20_000
    assert lines[-1].endswith(" ERROR root: last"), "there is always room for an error"
    assert "lines were dropped before this one" in lines[-2]
