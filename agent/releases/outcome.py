"""Exit statuses of ``python -m agent.releases``, for whoever starts it."""

from __future__ import annotations

TAKEN = 0
FAILED = 2
"""It can't be taken, now or later, unless somebody changes something."""

REFUSED = 3
PINNED = 4
WAITS = 5
"""For more episodes, which the owner wants it compared on."""

OFFERED = 6
"""It passed, and the owner wants to take it by hand."""

LATER = 75
"""The same may succeed later (EX_TEMPFAIL of sysexits.h). So may whatever ends it otherwise: it was
killed, or out of memory."""
