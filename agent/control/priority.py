"""The control loop before everything else on this host, where the system lets it.

Realtime (round robin) where there is the right to it (root, ``CAP_SYS_NICE``, systemd's
``LimitRTPRIO``), a better niceness where there is that, else as everybody. Threads started
afterwards inherit it, and should: one of them may hold the interpreter while it waits for a core
that a policy has. Linux keeps 5 % of a core from realtime processes, and the supervisor ends a
control that hangs.
"""

from __future__ import annotations

import os

_PRIORITY = 1
"""The lowest realtime priority: above all that is not."""

_NICENESS = -5


def take_precedence() -> str:
    """For the calling thread and those that it starts; what came of it, in words."""
    if hasattr(os, "sched_setscheduler"):
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
        except OSError:
            pass
        else:
            return "realtime"
    try:
        return f"niceness {os.nice(_NICENESS)}"
    except OSError:
        return "as everybody"
