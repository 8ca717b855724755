"""What a power cut would take: files that were given a name before they were on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class Disk:
    """Watches every fsync, and every folder that is given another name.

    Args:
        monkeypatch: Of the test.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lost: list[Path] = []
        self.placed: list[Path] = []
        self._synced: set[str] = set()
        fsync, rename = os.fsync, Path.rename

        def noted(descriptor: int) -> None:
            fsync(descriptor)
            self._synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

        def moved(path: Path, target: Path) -> Path:
            if path.is_dir():
                inside = [path, *path.rglob("*")]
                self.lost += [p for p in inside if str(p.resolve()) not in self._synced]
                self.placed.append(target)
                self._synced.discard(str(target.parent.resolve()))
            return rename(path, target)

        monkeypatch.setattr(os, "fsync", noted)
        monkeypatch.setattr(Path, "rename", moved)

    def keeps(self, folder: Path) -> bool:
        """Whether a folder got its name with everything in it on the disk, and the name is there
        as well."""
        return (
            folder in self.placed and not self.lost and str(folder.parent.resolve()) in self._synced
        )
