"""Under which name a data set goes to the hub, as its recorder was told (``--dataset.repo_id``).

The file lies beside the data set (``.NAME.repo_id``), as its locks do: the folder stays a plain
LeRobot one.
"""

from __future__ import annotations

from pathlib import Path

from agent.policy import atomic


def keep_name(root: Path, repo_id: str) -> None:
    """Remember it.

    Raises:
        OSError: it can't be written.
    """
    if kept_name(root) != repo_id:
        atomic.write_text(_path(root), repo_id + "\n")


def kept_name(root: Path) -> str:
    """``NAME/DATASET``; empty: nobody said."""
    try:
        return _path(root).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _path(root: Path) -> Path:
    root = root.resolve()
    return root.parent / f".{root.name}.repo_id"
