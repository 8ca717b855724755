"""Where an episode is made, beside the data set, and how it gets into it in one step.

LeRobot changes several files when an episode is saved, and a parquet file has no footer until it is
closed; in between nobody can open the data set. So LeRobot writes each episode into a folder of
its own that holds as much metadata as it needs to number the new files rightly. When they are
closed and on the disk, a list of them (``commit.json``) is written: from then on the episode is
saved. What is left are renames in an order in which plain LeRobot opens the data set between any
two of them; if they are cut off, the next recorder completes them.

::

    episodes/                       the data set
    .episodes.staging/open-000001/  an episode that is being recorded (``episode.py``)
    .episodes.staging/episode/      an episode in LeRobot's form
    .episodes.staging/commit.json   it is complete; these files go into the data set
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from agent.data.lock import writing
from agent.policy.atomic import sync
from agent.recorder.episode import remove
from robots.errors import DataError

_REWRITTEN = ("meta/tasks.parquet", "meta/stats.json", "meta/info.json")
_PARTS = ("meta/marks", "meta/tasks.parquet", "meta/stats.json", "videos", "data", "meta/episodes")
"""The order of the renames; ``info.json``, which says how many episodes there are, goes last."""

CACHE = "cache"
"""LeRobot reads metadata through a cache that it never clears; here it goes with the episode."""

PATIENCE_S = 2.0
"""How long an episode that is saved waits for readers before it is put in its place anyway."""


class Staging:
    """The staging folder of one data set, which must lie on the same file system.

    Args:
        root: The data set's folder; need not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.folder = root.parent / f".{root.name}.staging"
        self.episode = self.folder / "episode"
        self._commit = self.folder / "commit.json"
        self._seed: Path | None = None

    def prepare(self) -> bool:
        """Make room for an episode; whether there is a data set that it continues.

        Raises:
            DataError: the data set's last episode can't be read.
        """
        # A save that failed among its last steps is completed before anything else.
        self.recover()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._seed = None
        if not (self._root / "meta" / "info.json").is_file():
            return False
        (self.episode / "meta").mkdir(parents=True)
        for name in _REWRITTEN:
            if (self._root / name).is_file():
                shutil.copyfile(self._root / name, self.episode / name)
        # The last episode's row is all that LeRobot asks for to number the next files; with the
        # whole metadata each episode would take longer than the one before.
        last = max((self._root / "meta" / "episodes").glob("*/*.parquet"), default=None)
        if last is not None:
            self._seed = self.episode / last.relative_to(self._root)
            self._seed.parent.mkdir(parents=True)
            rows = pq.read_table(last)
            pq.write_table(rows.slice(rows.num_rows - 1), self._seed)
        return True

    def commit(self, source: Path) -> None:
        """The episode is complete: put it into the data set.

        Args:
            source: The folder in which it was recorded; it goes, but not before.
        """
        if self._seed is not None:
            self._seed.unlink()
        for path in self.episode.iterdir():
            if path.name not in ("meta", "data", "videos"):
                shutil.rmtree(path)
        files = [p for p in self.episode.rglob("*") if p.is_file()]
        _to_disk([*files, *(p for p in self.episode.rglob("*") if p.is_dir()), self.episode])
        plan = {
            "source": source.name,
            "whole": not (self._root / "meta" / "info.json").is_file(),
            "before": _episodes(self._root),
            "files": sorted((str(p.relative_to(self.episode)) for p in files), key=turn),
        }
        partial = self._commit.with_suffix(".partial")
        partial.write_text(json.dumps(plan))
        _to_disk([partial])
        partial.rename(self._commit)
        _to_disk([self.folder])
        self._apply(plan)

    def recover(self) -> str | None:
        """Complete or clear away what a crash left; says what was done.

        Raises:
            DataError: the data set has changed since.
        """
        if self._commit.is_file():
            plan = json.loads(self._commit.read_text())
            if _episodes(self._root) not in (plan["before"], plan["before"] + 1):
                raise DataError(
                    "an episode waits to be put in place and the data set has changed since",
                    field="--dataset.root",
                    value=self._root,
                    remedy=f"Move {self.folder} away to give the episode up",
                )
            self._apply(plan)
            return "an episode whose saving was cut off was completed"
        self.clear()
        return None

    def clear(self) -> None:
        """Forget the episode in LeRobot's form; the folders of open ones stay."""
        self._commit.unlink(missing_ok=True)
        for path in (self.episode, self.folder / CACHE):
            shutil.rmtree(path, ignore_errors=True)

    def _apply(self, plan: dict[str, Any]) -> None:
        with writing(self._root, patience_s=PATIENCE_S):
            if plan["whole"]:
                if self.episode.is_dir():
                    self.episode.rename(self._root)
                _to_disk([self._root.parent])
            else:
                for name in plan["files"]:
                    if (self.episode / name).is_file():
                        (self._root / name).parent.mkdir(parents=True, exist_ok=True)
                        (self.episode / name).replace(self._root / name)
                # Power may be lost too: the data set's folders first, new ones by those above them,
                # then the list goes.
                folders = {above for name in plan["files"] for above in Path(name).parents}
                _to_disk(self._root / folder for folder in folders)
        if "source" in plan:
            remove(self.folder / plan["source"])
        self.clear()


def turn(name: str) -> int:
    """When a file of a data set is put in its place: those that others speak of first."""
    return next((i for i, part in enumerate(_PARTS) if name.startswith(part)), len(_PARTS))


def _episodes(root: Path) -> int:
    path = root / "meta" / "info.json"
    return int(json.loads(path.read_text())["total_episodes"]) if path.is_file() else 0


def _to_disk(paths: Iterable[Path]) -> None:
    for path in paths:
        sync(path)
