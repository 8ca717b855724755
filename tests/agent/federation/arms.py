"""A control process of which only the status is asked."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from agent.control.operator_role import OperatorRole
from agent.control.peers import Peers
from agent.paths import StateDir


class Arm:
    """Listens on an agent's control socket.

    Args:
        state: The agent's.
    """

    def __init__(self, state: StateDir) -> None:
        self.drives = False
        """Whether each status tells of one more driven tick."""
        self.state = "running"
        self.docked = False
        self._driven = 0
        roles: dict[str, Any] = {
            "cli": OperatorRole({"status": self._status}, dict, lambda *_: None)
        }
        self._peers = Peers(state.control_socket, roles)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Arm:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._peers.close()

    def _status(self, args: dict[str, Any]) -> dict[str, Any]:
        self._driven += self.drives
        return {
            "pid": 1,
            "driven_ticks": self._driven,
            "state": self.state,
            "docked": self.docked,
        }

    def _serve(self) -> None:
        while not self._ended.wait(0.01):
            self._peers.poll()
