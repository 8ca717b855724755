"""A quota for the data set: the oldest episodes make room for new ones, if they have been used.

What was neither trained on nor pushed is never deleted unless the owner says so; when nothing may
be deleted and the quota is reached, recording ends until there is room (``disk.py``).
"""

from __future__ import annotations

from pathlib import Path

from agent.data.delete import delete_episodes
from agent.data.used import uses
from agent.recorder.disk import GB
from robots.replay.info import read_info


def size_b(root: Path) -> int:
    """Bytes of a data set on the disk."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def make_room(root: Path, quota_gb: float, *, unused_too: bool) -> list[int]:
    """Delete the oldest episodes that may be deleted until the data set is within its quota.

    Args:
        root: The data set; the caller is its recorder.
        quota_gb: The most it may take.
        unused_too: Whether also those that were neither trained on nor pushed.

    Returns:
        The numbers that those had which were deleted, ascending.

    Raises:
        DataError: the data set can't be read, or what is known of the use of its episodes.
        OSError: it can't be written.
    """
    excess = size_b(root) - quota_gb * GB
    if excess <= 0:
        return []
    info = read_info(root)
    used = {} if unused_too else uses(root)
    doomed: list[int] = []
    # The last one stays: a data set needs one, and what was just recorded is what was asked for.
    for episode in info.episodes[:-1]:
        if excess <= 0:
            break
        if unused_too or used[episode.index].any:
            doomed.append(episode.index)
            files = {episode.data, *(span.path for span in episode.videos.values())}
            excess -= sum(path.stat().st_size for path in files)
    if doomed:
        delete_episodes(root, doomed)
    return doomed
