"""The recorder as control sees it, when the recorder can't."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from agent.control import recorder_role
from agent.control.peers import Peer
from agent.control.recorder_role import RecorderRole
from agent.ipc import Channel, FrameBuffer, FrameLayout, Message


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_one_that_cannot_begin_is_asked_more_and_more_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, told = Clock(), []
    monkeypatch.setattr(recorder_role, "time", clock)
    layout = FrameLayout(("a.pos",), ("a.pos",), ())

    def emit(event: str, cause: str = "", **data: Any) -> None:
        told.append(event)

    role = RecorderRole(
        buffer=FrameBuffer(tmp_path / "ring", layout, 2, create=True),
        emit=emit,
        welcome={},
        on_gone=lambda: told.append("gone"),
    )
    ours, _theirs = socket.socketpair()
    peer = Peer(Channel(ours), role="recorder")
    role.welcome(peer)
    role.on_message(peer, Message("ready", {"episodes": 0, "frames": 0}))

    pauses = []
    for number in range(1, 10):
        assert role.ready
        role.start_episode(number, "task", tick=number)
        role.on_message(peer, Message("failed", {"episode": number, "message": "read-only"}))
        assert told[-2:] == ["recorder_failed", "gone"]
        assert not role.ready
        before = clock.now
        while not role.ready:
            clock.now += 0.25
        pauses.append(clock.now - before)

    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    saved = {"episode": 9, "episodes": 1, "frames": 8}
    role.on_message(peer, Message("saved", saved))
    role.start_episode(10, "task", tick=10)
    role.on_message(peer, Message("failed", {"episode": 10, "message": "full"}))
    clock.now += 0.5
    assert role.ready, "one that was saved in between: it begins from the shortest again"
