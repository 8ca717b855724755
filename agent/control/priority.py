"""The control loop before everything else on this host, where the system lets it.

A better niceness where there is the right to it (root, ``CAP_SYS_NICE``, systemd's ``LimitNICE``).
Threads started afterwards inherit it, and should: one of them may hold the interpreter while it
waits for a core that a policy has. Realtime scheduling was tried and rejected: with the cameras'
threads in it, it keeps the cores from whoever is at the other end of the bus.
"""

from __future__ import annotations

import os

_NICENESS = -10


def take_precedence() -> int:
    """For the calling thread and those that it starts; the niceness that came of it."""
    try:
        return os.nice(_NICENESS)
    except OSError:
        return os.nice(0)
