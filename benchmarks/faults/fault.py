"""One row of the fault matrix: what breaks, and what the agent and the arm must then do.

Commands are those of ``robots.emulator.faults`` and a few of what stands around an arm:

=============  ==============================================================================
``order``      an operator's order to the agent, ``name``; plain LeRobot knows only Ctrl-C
``signal``     ``number`` to the control process
``stop_file``  made, or with ``on=False`` taken away
``rival``      another program reads the port, ``on``
``nonsense``   another client sends rubbish to the agent's control socket
=============  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Command = dict[str, Any]

ALL = "111111"
NONE = "000000"

MOVES = ("goes on", "holds", "yields", "takes hold", "rests")
"""What an arm can do: follow its source; keep its goals; let them be where its joints are; hold
where servos without power have come to, once they have it again; rest without torque in the pose at
start."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row.

    Args:
        name: Short.
        title: In words.
        begin: What breaks.
        end: What mends it; empty: it is over by itself.
        lasts_s: At least this long (ours: until all that is promised was seen as well).
        state: ``state`` in the agent's status meanwhile; ``a|b``: either.
        does: One of MOVES.
        events: That the agent sends meanwhile; ``a|b``: either.
        after: That it sends when it is over.
        torque: Servos 1–6 meanwhile, 1: pulls. Those that do must do so all the time.
        torque_after: And when it is over.
        clear: Whether the operator's ``clear`` is needed; else it goes on by itself.
        root: Whether only root can do it.
        source: Who drives; by ``hold`` nobody does.
        theirs: Whether there is such a thing for LeRobot's loop.
    """

    name: str
    title: str
    begin: tuple[Command, ...]
    end: tuple[Command, ...] = ()
    lasts_s: float = 1.0
    state: str = "running"
    does: str = "goes on"
    events: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    torque: str = ALL
    torque_after: str = ALL
    clear: bool = False
    root: bool = False
    source: str = "teleop"
    theirs: bool = True

    @property
    def over_after_s(self) -> float:
        """When it ends by itself."""
        return max(float(command.get("for_s", 0.0)) for command in self.begin)


def do(do: str, /, **arguments: Any) -> Command:
    """A command."""
    return {"do": do, **arguments}
