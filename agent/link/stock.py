"""What a robot has for its fleet: episodes, how many of them are new, and the release that it runs.

Counted when the files say that something changed, at most once a minute, and in a process of its
own: reading a data set brings torch, and the link stays small.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from agent.policy.store import ModelStore
from agent.recorder.marks import MARKS
from agent.releases.origin import release_of
from agent.supervisor.child import die_with_parent
from robots.errors import ArmadaError

_LOOK_S = 2.0
"""For names and dates of files, which cost nothing."""

COUNT_S = 60.0
_COUNT_LIMIT_S = 600.0

logger = logging.getLogger(__name__)

Dates = tuple[float, ...]


@dataclass(frozen=True)
class Stock:
    """Counts of episodes that may be trained on; ``release`` 0: none of the fleet's."""

    episodes: int = 0
    new_episodes: int = 0
    release: int = 0


class StockTaker:
    """Keeps ``stock`` fresh.

    Args:
        dataset_root: The robot's episodes.
        models: Its model store.
        unclean: Whether it trains on what the quality gate didn't let pass, too.
    """

    def __init__(self, dataset_root: Path, models: Path, *, unclean: bool = False) -> None:
        self._root = dataset_root
        self._flags = ["--unclean"] if unclean else []
        self._store = ModelStore(models)
        self._seen: Dates | None = None
        self.stock = Stock()

    async def run(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        count_at = loop.time()
        while True:
            self._look_at_model()
            dates = _dates(self._root)
            if dates != self._seen and loop.time() >= count_at:
                self._seen, count_at = dates, loop.time() + COUNT_S
                await self._count()
            await asyncio.sleep(_LOOK_S)

    def _look_at_model(self) -> None:
        try:
            self.stock = replace(self.stock, release=release_of(self._store.current))
        except (ArmadaError, OSError) as error:
            logger.warning("the model store can't be read: %s", error)

    async def _count(self) -> None:
        if not (self._root / "meta" / "info.json").is_file():
            self.stock = replace(self.stock, episodes=0, new_episodes=0)
            return
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent.data.count", str(self._root), *self._flags),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
        try:
            said, why = await asyncio.wait_for(process.communicate(), _COUNT_LIMIT_S)
        except TimeoutError:
            said, why = b"", b"it takes too long"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            # In the middle of being written, or damaged: whoever trains on it says what is amiss.
            logger.warning("episodes can't be counted: %s", why.decode(errors="replace").strip())
            return
        self.stock = replace(self.stock, **json.loads(said))


def _dates(root: Path) -> Dates:
    """What changes when episodes come, are judged, go, or are trained on."""
    root = root.resolve()
    used = root.parent / f".{root.name}.used.json"
    paths = root / "meta" / "info.json", root / MARKS, used
    return tuple(path.stat().st_mtime if path.exists() else 0.0 for path in paths)
