"""No encoder takes the processor from control.

SVT-AV1 (``libsvtav1``, LeRobot's default) gives itself and the thread that opens it, with all that
this one starts later, the highest real-time priority when it runs as root: SCHED_FIFO, 99. On a
small host the control loop then stands still for seconds.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def no_realtime() -> None:
    """Give every thread of this process the ordinary scheduler back; niceness stays (Linux)."""
    if sys.platform != "linux":
        return
    for thread in Path("/proc/self/task").iterdir():
        # It may have ended since.
        with contextlib.suppress(ProcessLookupError):
            if os.sched_getscheduler(int(thread.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))
