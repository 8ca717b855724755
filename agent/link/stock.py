"""What a robot has for its fleet: episodes, how many of them are new, and the release that it runs.

Looked at every half a minute and only when something changed, in a thread: reading a large data set
takes seconds, and the link must go on answering.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from agent.data.used import unused
from agent.policy.store import ModelStore
from agent.releases.origin import release_of
from robots.errors import ArmadaError
from robots.replay.info import read_info

_EVERY_S = 30.0
_SOON_S = 2.0
"""For names and dates of files, which is what is looked at first."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stock:
    """Counts; ``release`` 0: none of the fleet's."""

    episodes: int = 0
    new_episodes: int = 0
    release: int = 0


class StockTaker:
    """Keeps ``stock`` fresh.

    Args:
        dataset_root: The robot's episodes.
        models: Its model store.
    """

    def __init__(self, dataset_root: Path, models: Path) -> None:
        self._root = dataset_root
        self._store = ModelStore(models)
        self._seen: tuple[float, ...] | None = None
        self._counted_at = float("-inf")
        self.stock = Stock()

    async def run(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.to_thread(self.look, loop.time())
            await asyncio.sleep(_SOON_S)

    def look(self, now: float) -> None:
        """Look again, as far as that is due.

        Args:
            now: Seconds of any clock.
        """
        try:
            release = release_of(self._store.current)
            episodes, new = self.stock.episodes, self.stock.new_episodes
            seen = _dates(self._root)
            if seen != self._seen and now >= self._counted_at + _EVERY_S:
                self._seen, self._counted_at = seen, now
                episodes, new = _count(self._root)
            self.stock = Stock(episodes, new, release)
        except (ArmadaError, OSError) as error:
            # In the middle of being written, or damaged: whoever trains on it says what is amiss.
            logger.warning("what there is can't be counted: %s", error)


def _count(root: Path) -> tuple[int, int]:
    if not (root / "meta" / "info.json").is_file():
        return 0, 0
    return len(read_info(root).episodes), len(unused(root))


def _dates(root: Path) -> tuple[float, ...]:
    """What changes when episodes come, go or are trained on."""
    root = root.resolve()
    paths = root / "meta" / "info.json", root.parent / f".{root.name}.used.json"
    return tuple(path.stat().st_mtime if path.is_file() else 0.0 for path in paths)
