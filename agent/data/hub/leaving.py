"""What would leave the robot: a frozen picture of a data set, and what is in it.

Uploads take hours and a recorder goes on meanwhile. What is sent is therefore a folder beside the
data set that doesn't change: small files are copied, large ones are hard links, which cost nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.data.fingerprint import fingerprints
from agent.data.lock import pushing, reading
from agent.policy.atomic import is_temporary
from robots.errors import DataError
from robots.replay.info import DatasetInfo, read_info


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """What is sent.

    Args:
        folder: It, and nothing else.
        info: Its metadata.
        digests: Fingerprints of its episodes.
        files: How many files.
        size: Their bytes.
    """

    folder: Path
    info: DatasetInfo
    digests: tuple[str, ...]
    files: int
    size: int

    @property
    def pictures(self) -> int:
        """Of all cameras together."""
        return self.info.frames * len(self.info.cameras)


@contextlib.contextmanager
def leaving(root: Path) -> Iterator[Leaving]:
    """Freeze a data set; what no saved episode names stays behind.

    Args:
        root: Its folder.

    Raises:
        DataError: it can't be read, or is being pushed already.
    """
    root = root.resolve()
    frozen = root.parent / f".{root.name}.push"
    if not os.access(root.parent, os.W_OK):
        raise DataError(
            "what is sent is frozen beside the data set, where nothing can be written",
            field="dataset",
            value=root,
            remedy="Copy it elsewhere first",
        )
    with pushing(root):
        shutil.rmtree(frozen, ignore_errors=True)
        try:
            folder = frozen / root.name
            with reading(root):
                _freeze(read_info(root), folder)
            info = read_info(folder)
            files = [path for path in folder.rglob("*") if path.is_file()]
            yield Leaving(
                folder=folder,
                info=info,
                digests=tuple(fingerprints(info).values()),
                files=len(files),
                size=sum(path.stat().st_size for path in files),
            )
        finally:
            shutil.rmtree(frozen, ignore_errors=True)


def _freeze(info: DatasetInfo, folder: Path) -> None:
    root = info.root
    # LeRobot writes these anew in place; a link would change with them.
    # The recorder judges meanwhile: what it is writing is gone in a moment.
    inside = (path for path in (root / "meta").rglob("*") if not is_temporary(path))
    small = [path for path in inside if path.is_file()]
    small += [path for path in (root / "README.md",) if path.is_file()]
    large = {episode.data for episode in info.episodes}
    large |= {span.path for episode in info.episodes for span in episode.videos.values()}
    for path in [*small, *sorted(large)]:
        target = folder / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in large:
            link_or_copy(path, target)
        else:
            shutil.copyfile(path, target)


def link_or_copy(path: Path, target: Path) -> None:
    """The same file under another name, or its copy."""
    try:
        os.link(path.resolve(), target)
    except OSError:
        # A file system without hard links, or a link to another one.
        shutil.copyfile(path, target)
