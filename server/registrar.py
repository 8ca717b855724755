"""Keeps the SuperLink's nodes as the file of robots says, in the fleet service."""

from __future__ import annotations

import logging
import time

from robots.errors import ArmadaError
from server.nodes import Control, Nodes, reconcile, write_node_names
from server.paths import ServerState

_AGAIN_S = 30.0
"""Between two looks when the file didn't change: the SuperLink may have lost its database."""

log = logging.getLogger(__name__)


class Registrar:
    """Registers and unregisters.

    Args:
        state: With the file of robots.
        control: The SuperLink.
    """

    def __init__(self, state: ServerState, control: Control) -> None:
        self._state = state
        self._control = control
        self._wanted: dict[str, str] | None = None
        self._names: dict[int, str] | None = None
        self._next = 0.0
        self._said = ""

    def poll(self) -> None:
        """Call it often. What fails is said once and tried again."""
        try:
            wanted = Nodes(self._state.registered).keys()
            if wanted == self._wanted and time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _AGAIN_S
            names = reconcile(wanted, self._control)
            if names != self._names:
                write_node_names(self._state.node_names, names)
                log.info("robots that may join: %s", ", ".join(sorted(names.values())) or "none")
            self._wanted, self._names, self._said = wanted, names, ""
        except ArmadaError as error:
            if str(error) != self._said:
                self._said = str(error)
                log.error("robots can't be registered: %s", error)
