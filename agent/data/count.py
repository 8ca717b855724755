"""``python -m agent.data.count FOLDER``: how many episodes of a data set may be trained on, and how
many of these are new. With ``--unclean``: whatever the quality gate says of them.

A process of its own for whoever must stay small: reading a data set brings LeRobot and torch.
Prints ``{"episodes": N, "new_episodes": M}``; status 2, and why on stderr, if it can't be read.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from agent.data.lock import reading
from agent.data.usable import usable
from agent.data.used import unused
from robots.errors import DataError
from robots.replay.info import read_info

NICE = 19


def main(argv: list[str]) -> int:
    """Count once."""
    os.nice(NICE)
    root = Path(argv[0])
    try:
        with reading(root):
            episodes = usable(read_info(root), unclean="--unclean" in argv).episodes
            new = set(unused(root)).intersection(episodes)
        counts = {"episodes": len(episodes), "new_episodes": len(new)}
    except (DataError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(counts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
