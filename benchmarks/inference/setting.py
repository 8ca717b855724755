"""Where a benchmark was measured, and the folder that its contenders share."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.policy.init import Size
from benchmarks.inference.pictures import make_pictures
from benchmarks.inference.policies import make_policy


@dataclass(frozen=True)
class Setting:
    """The same for all contenders.

    Args:
        policy: Folder of the policy.
        pictures: Folder of what the cameras show.
        shows: That, in words.
    """

    policy: str
    pictures: str
    shows: str


@contextlib.contextmanager
def setting(size: Size, *, looks_closely: bool = False) -> Iterator[Setting]:
    """Make policy and pictures, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="setting-") as folder:
        shows = make_pictures(Path(folder) / "pictures")
        policy = make_policy(Path(folder) / "policy", size, looks_closely=looks_closely)
        yield Setting(str(policy), str(Path(folder) / "pictures"), shows)


def machine() -> str:
    """In a line."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else platform.processor()
    return (
        f"{os.cpu_count()} cores ({name}), load before {os.getloadavg()[0]:.1f}, "
        f"{'root' if os.getuid() == 0 else 'not root'}"
    )
