"""Deletes episodes of a data set where it lies, at once: at any instant plain LeRobot opens the old
one or the new one.

LeRobot's ``delete_episodes`` writes a second data set, videos and all, for which a disk that is
nearly full has no room. Here the new folder's videos are links to the old one's, its rows are
numbered anew, and the two folders change places in one step (Linux). A file in which a kept episode
lies stays, so a data set of one file per episode, as recorded here, gives back most.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from lerobot.datasets.compute_stats import aggregate_stats
from lerobot.datasets.io_utils import write_stats

from agent.data.lock import rewriting
from agent.policy.atomic import is_temporary, sync
from robots.errors import DataError
from robots.replay.info import DatasetInfo, check_files, read_claims

EPISODE, INDEX = "episode_index", "index"
PATIENCE_S = 2.0
"""How long readers are waited for."""

_HERE = -100
_EXCHANGE = 2


def delete_episodes(root: Path, episodes: Collection[int]) -> None:
    """Delete episodes; those that are left are numbered anew, in the same order.

    Args:
        root: The data set's folder. No recorder may write to it but the caller.
        episodes: Their numbers.

    Raises:
        DataError: there is no such episode, none would be left, one that is to be kept can't be
            read, or somebody is reading it.
        OSError: it can't be written, or this system can't exchange folders; all is as it was.
    """
    root = root.resolve()
    info, _ = read_claims(root)
    for index in episodes:
        info.episode(index)
    kept = [e.index for e in info.episodes if e.index not in episodes]
    if not kept:
        raise DataError(
            "no episode would be left",
            field="episodes",
            value=sorted(episodes),
            remedy="Delete the folder instead",
        )
    # What is wrong with an episode must not keep it from being deleted.
    check_files(info, kept)
    # Hidden, and no data set while it is made.
    aside = _aside(root)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _write(info, kept, aside)
        with rewriting(root, patience_s=PATIENCE_S):
            _exchange(aside, root)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def clear_away(root: Path) -> str | None:
    """Remove what is left of a deletion that was cut off, which may be all that it deleted, and of
    small files that were being written; says what was done. No recorder may write to ``root`` but
    the caller."""
    for path in [path for path in root.rglob(".*") if is_temporary(path)]:
        path.unlink(missing_ok=True)
    aside = _aside(root.resolve())
    if not aside.is_dir():
        return None
    shutil.rmtree(aside, ignore_errors=True)
    return f"what was left of a deletion that was cut off was removed ({aside})"


def _aside(root: Path) -> Path:
    return root.parent / f".{root.name}.thinned"


def _write(info: DatasetInfo, kept: list[int], target: Path) -> None:
    root = info.root
    number = {old: new for new, old in enumerate(kept)}
    lengths = [info.episode(old).length for old in kept]
    first = dict(zip(kept, np.cumsum([0, *lengths[:-1]]).tolist(), strict=True))
    for path in sorted({info.episode(old).data for old in kept}):
        table = pq.read_table(path)
        table = table.filter(pc.is_in(table[EPISODE], pa.array(kept)))
        old: list[int] = table[EPISODE].to_pylist()
        # Rows of an episode are in order, and files hold whole episodes.
        at = np.concatenate([first[e] + np.arange(old.count(e)) for e in dict.fromkeys(old)])
        table = _set(_set(table, EPISODE, [number[e] for e in old]), INDEX, at.tolist())
        _put(table, target / path.relative_to(root))
    for path in {span.path for e in kept for span in info.episode(e).videos.values()}:
        link = target / path.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.hardlink_to(path)
    statistics = _write_episodes(root, target, number, first)
    for before, new in number.items():
        if _marks(root, before).is_file():
            _marks(target, new).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_marks(root, before), _marks(target, new))
    write_stats(aggregate_stats(statistics), target)
    about = json.loads((root / "meta" / "info.json").read_text(encoding="utf-8"))
    about |= {"total_episodes": len(kept), "total_frames": sum(lengths)}
    about["splits"] = {"train": f"0:{len(kept)}"}
    (target / "meta" / "info.json").write_text(json.dumps(about, indent=4), encoding="utf-8")
    _link_others(info, target)
    for path in [*target.rglob("*"), target]:
        # What can't be read is another one's, and was only linked.
        if not path.is_symlink() and os.access(path, os.R_OK):
            sync(path)


def _link_others(info: DatasetInfo, target: Path) -> None:
    """All else that lies in the folder, as the card that is pushed and what its owner put there."""
    root = info.root
    of_episodes = set((root / "meta" / "episodes").glob("*/*.parquet"))
    for e in info.episodes:
        of_episodes |= {e.data, *(span.path for span in e.videos.values()), _marks(root, e.index)}
    for path in root.rglob("*"):
        place = target / path.relative_to(root)
        if path in of_episodes or place.exists() or not (path.is_file() or path.is_symlink()):
            continue
        if is_temporary(path):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, place, follow_symlinks=False)
        except OSError:
            # Another user's: Linux lets nobody else link to it.
            shutil.copyfile(path, place, follow_symlinks=False)


def _marks(root: Path, episode: int) -> Path:
    return root / "meta" / "marks" / f"episode-{episode:06d}.json"


def _write_episodes(
    root: Path, target: Path, number: dict[int, int], first: dict[int, int]
) -> list[dict[str, Any]]:
    """The metadata of episodes, numbered anew; their statistics."""
    statistics: list[dict[str, Any]] = []
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        table = pq.read_table(path)
        table = table.filter(pc.is_in(table[EPISODE], pa.array([*number])))
        if not table.num_rows:
            continue
        old = table[EPISODE].to_pylist()
        begins = [first[e] for e in old]
        ends = [b + n for b, n in zip(begins, table["length"].to_pylist(), strict=True)]
        table = _set(table, EPISODE, [number[e] for e in old])
        table = _set(_set(table, "dataset_from_index", begins), "dataset_to_index", ends)
        _put(table, target / path.relative_to(root))
        columns = [c for c in table.schema.names if c.startswith("stats/")]
        for row in table.select(columns).to_pylist():
            of: dict[str, Any] = {}
            for column, value in row.items():
                _, feature, kind = column.split("/")
                if value is not None:
                    of.setdefault(feature, {})[kind] = np.atleast_1d(np.array(value))
            statistics.append(of)
    return statistics


def _set(table: pa.Table, name: str, values: list[int]) -> pa.Table:
    """A column replaced, of the same type."""
    at = table.schema.get_field_index(name)
    field = table.schema.field(at)
    return table.set_column(at, field, pa.array(values, field.type))


def _put(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="snappy")


def _exchange(a: Path, b: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    rename = getattr(libc, "renameat2", None)
    if rename is None:
        raise OSError("this system can't exchange two folders in one step")
    if rename(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(b))
    sync(b.parent)
