"""A stop is kept on the disk, or in memory while the disk takes none; the operator's words reach an
agent whose control is down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent import cli
from agent.paths import StateDir
from agent.policy import atomic
from agent.supervisor.latch import Latch
from agent.supervisor.locks import take


class Said:
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def __call__(self, kind: str, cause: str, **data: Any) -> None:
        self.kinds.append(kind)


def test_the_first_reason_stays_until_it_is_cleared(tmp_path: Path) -> None:
    latch = Latch(tmp_path / "stopped", Said())
    latch.keep("a hand")
    latch.keep("another")
    assert (tmp_path / "stopped").read_text() == "a hand"
    latch.drop()
    assert not (tmp_path / "stopped").exists()


def test_a_disk_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    said = Said()
    latch = Latch(tmp_path / "stopped", said)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_text", full)
        latch.keep("a hand")
        latch.keep("a hand")
        assert (latch.unkept, said.kinds) == ("a hand", ["stop_not_kept"])
    monkeypatch.setattr("agent.supervisor.latch._AGAIN_S", 0.0)
    monkeypatch.setattr(latch, "_again_at", 0.0)
    latch.retry()
    assert latch.unkept is None
    assert (tmp_path / "stopped").read_text() == "a hand"


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "arm")
    state.create()
    return state


def test_words_for_an_agent_whose_control_is_down(
    state: StateDir, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = take(state.lock, field="--state_dir", value=state.root, message="in use")
    assert cli.main(["stop", "--reason=a hand", f"--state_dir={state.root}"]) == 0
    assert "starts stopped" in capsys.readouterr().out
    assert state.latched_stop.read_text() == "a hand"
    assert cli.main(["clear", f"--state_dir={state.root}"]) == 0
    assert "cleared when it is up again" in capsys.readouterr().out
    assert not state.latched_stop.exists()
    os.close(lock)


def test_words_for_nobody(state: StateDir, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stop", f"--state_dir={state.root}"]) == 2
    assert "no agent listens" in " ".join(capsys.readouterr().err.split())
    assert not state.latched_stop.exists()


def test_a_client_finds_the_socket_of_an_agent_with_another_environment(
    state: StateDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "service"))
    atomic.point(state.runtime_link, str(state.own_runtime))
    socket = state.control_socket
    assert socket.is_relative_to(tmp_path / "service")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "shell"))
    assert state.control_socket == socket
    assert state.own_runtime.is_relative_to(tmp_path / "shell")
