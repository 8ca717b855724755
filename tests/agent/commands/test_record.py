"""`armada record` over a real control socket; what carries the orders out is played."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.commands.record import obey_key
from agent.control.operator_role import OperatorRole
from agent.control.peers import Peers
from agent.paths import StateDir
from robots.errors import ConfigError

NAMES = (
    "record_start",
    "record_stop",
    "record_next",
    "record_discard",
    "record_save_last",
    "mark",
    "pause",
    "correct",
    "resume",
)


class Agent:
    """Notes what it is ordered."""

    def __init__(self, folder: Path) -> None:
        self.state = StateDir(folder)
        self.orders: list[tuple[str, dict[str, Any]]] = []
        self.correction = "autonomous"
        handlers = {name: self._noting(name) for name in NAMES}
        handlers["status"] = lambda args: {"correction": self.correction}
        role = OperatorRole(handlers, dict, lambda fields, peer: None)
        self._peers = Peers(self.state.control_socket, {"cli": role})
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _noting(self, name: str) -> Any:
        def note(args: dict[str, Any]) -> None:
            if name == "mark" and not args["success"]:
                raise ConfigError("no episode is being recorded", field="mark")
            self.orders.append((name, args))

        return note

    def _serve(self) -> None:
        while not self._ends.wait(0.01):
            self._peers.poll()

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self._peers.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path)
    yield agent
    agent.close()


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (["start", "--episodes=3"], ("record_start", {"episodes": 3})),
        (["stop"], ("record_stop", {})),
        (["next"], ("record_next", {})),
        (["discard"], ("record_discard", {})),
        (["save_last", "--seconds=4"], ("record_save_last", {"seconds": 4.0})),
        (["save_last"], ("record_save_last", {"seconds": None})),
        (["success"], ("mark", {"success": True})),
        (["pause"], ("pause", {})),
        (["correct"], ("correct", {})),
        (["resume"], ("resume", {})),
    ],
)
def test_orders(agent: Agent, words: list[str], order: tuple[str, dict[str, Any]]) -> None:
    assert main(["record", *words, f"--state_dir={agent.state.root}"]) == 0
    assert agent.orders == [order]


def test_what_is_refused_says_why(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "failure", f"--state_dir={agent.state.root}"]) == 2
    assert "no episode is being recorded" in capsys.readouterr().err
    assert main(["record", "begin"]) == 2
    assert "One of: start, save_last" in capsys.readouterr().err
    assert main(["record", "--help"]) == 0
    assert "drop the open episode" in capsys.readouterr().out


def test_lerobot_s_keys(agent: Agent) -> None:
    for key in ("right", "left", "s", "y", "space", "tab"):
        obey_key(agent.state, key)
    agent.correction = "correcting"
    assert obey_key(agent.state, "space") == "resume"
    assert [name for name, _ in agent.orders] == [
        "record_next",
        "record_discard",
        "record_save_last",
        "mark",
        "pause",
        "correct",
        "resume",
    ]
    assert "no episode" in obey_key(agent.state, "f")
