"""What a robot's episodes were used for: which were trained on, which were pushed and where to.

Whoever deletes episodes asks :func:`is_safe_to_delete`. What isn't known to have been used counts
as not used: after a lost file an episode is kept too long, never deleted too soon.

The file lies beside the data set (``.NAME.used.json``), as its locks do, and knows episodes by
their fingerprints: it stays right when their numbers change.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.data.fingerprint import fingerprints
from agent.data.lock import noting, reading
from agent.policy import atomic
from robots.errors import DataError
from robots.replay.info import read_info


@dataclass(frozen=True, kw_only=True)
class Uses:
    """What one episode was used for.

    Args:
        trained: When it was last trained on, s since 1970; ``None``: never.
        pushed: Hub id → when it was pushed there, s since 1970.
    """

    trained: float | None = None
    pushed: dict[str, float] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        return self.trained is not None or bool(self.pushed)

    def to_json(self) -> dict[str, Any]:
        return {"trained": self.trained, "pushed": self.pushed}


def is_safe_to_delete(root: Path, episode: int) -> bool:
    """Whether an episode was trained on or pushed.

    Args:
        root: The data set's folder.
        episode: Its number.

    Raises:
        DataError: the data set has no such episode, can't be read, or the memory of it can't.
    """
    return uses(root, [episode])[episode].any


def unused(root: Path) -> list[int]:
    """Numbers of the episodes that were neither trained on nor pushed, in order of recording.

    Raises:
        DataError: the data set can't be read, or the memory of it can't.
    """
    return [index for index, of in uses(root).items() if not of.any]


def uses(root: Path, episodes: Collection[int] | None = None) -> dict[int, Uses]:
    """What episodes were used for, by their numbers.

    Args:
        root: The data set's folder.
        episodes: Which; ``None``: all.

    Raises:
        DataError: there is no such episode, the data set can't be read, or the memory of it can't.
    """
    known = _load(root)
    return {
        index: known.get(digest, Uses()) for index, digest in _fingerprints(root, episodes).items()
    }


def note_trained(root: Path, digests: Collection[str]) -> None:
    """Episodes were trained on.

    Args:
        root: The data set's folder.
        digests: Their fingerprints, taken when they were read: numbers may have changed since.

    Raises:
        DataError: the memory of the data set can't be read.
        OSError: the disk is full, among others. A place where nothing may be written is no error:
            nothing can be deleted there either.
    """
    now = time.time()
    _note(root, digests, lambda of: replace(of, trained=now))


def note_pushed(root: Path, digests: Collection[str], repo_id: str) -> None:
    """Episodes are on the hub.

    Args:
        root, digests: As :func:`note_trained`.
        repo_id: Where.

    Raises:
        DataError, OSError: as :func:`note_trained`.
    """
    now = time.time()
    _note(root, digests, lambda of: replace(of, pushed={**of.pushed, repo_id: now}))


def _note(root: Path, digests: Collection[str], change: Callable[[Uses], Uses]) -> None:
    try:
        with noting(root.resolve()):
            known = _load(root)
            known |= {digest: change(known.get(digest, Uses())) for digest in digests}
            episodes = {digest: of.to_json() for digest, of in sorted(known.items())}
            atomic.write_text(_path(root), json.dumps({"version": 1, "episodes": episodes}))
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise


def _fingerprints(root: Path, episodes: Collection[int] | None) -> dict[int, str]:
    with reading(root):
        info = read_info(root)
        for index in episodes or ():
            info.episode(index)
        return fingerprints(info, episodes)


def _path(root: Path) -> Path:
    root = root.resolve()
    return root.parent / f".{root.name}.used.json"


def _load(root: Path) -> dict[str, Uses]:
    path = _path(root)
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["episodes"]
        return {
            digest: Uses(trained=of["trained"], pushed=dict(of["pushed"]))
            for digest, of in known.items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            "what is known of the use of its episodes can't be read",
            field="dataset",
            value=path,
            remedy="Delete it: all episodes count as not used then",
        ) from error
