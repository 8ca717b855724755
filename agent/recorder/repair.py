"""What a crash of another recorder (``lerobot-record``) left in a data set is set aside.

Our own recorder leaves nothing there: see ``staging``.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from robots.errors import DataError

QUIET_S = 10.0
"""Strays that were written to more recently may be those of a recorder that is at it: LeRobot's own
takes no lock, and it would go on writing to files that are no longer in the data set."""


def set_strays_aside(root: Path) -> str | None:
    """Move what no saved episode names to ``<name>.recovered``; says what was done.

    Nothing is deleted, and nothing is moved where saved episodes are damaged: opening says which.
    The caller has made sure that ``root`` is a data set of this format.

    Raises:
        DataError: somebody seems to be writing them.
    """
    if not (root / "meta" / "info.json").is_file():
        return None
    # Pictures on their way to an encoder and videos on their way to their place.
    strays, whole = _strays(root)
    strays += [p for p in (root / "images", *root.glob("tmp*")) if p.is_dir()]
    if not strays or not whole:
        return None
    _check_quiet(root, strays)
    return f"{len(strays)} unfinished files were moved to {set_aside(root, strays)}"


def _check_quiet(root: Path, strays: list[Path]) -> None:
    # Files, not folders: an orderly end leaves empty ones behind.
    for file in (file for path in strays for file in (path, *path.rglob("*")) if file.is_file()):
        try:
            quiet_s = time.time() - file.stat().st_mtime
        except FileNotFoundError:
            # Somebody is at it indeed.
            quiet_s = 0.0
        if 0 <= quiet_s < QUIET_S:
            raise DataError(
                "another recorder seems to write to this data set: "
                f"{file.relative_to(root)} changed {quiet_s:.0f} s ago and is of no saved episode",
                field="--dataset.root",
                value=root,
                remedy=f"Stop that one; {QUIET_S:.0f} s after its end its files are set aside",
            )


def _strays(root: Path) -> tuple[list[Path], bool]:
    """Files under data/, videos/ and meta/episodes/ that no episode of info.json names, and whether
    all its episodes are there."""
    info = json.loads((root / "meta" / "info.json").read_text(encoding="utf-8"))
    total = info["total_episodes"]
    known: set[Path] = set()
    strays: list[Path] = []
    episodes = 0
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        rows = _rows(path)
        if rows is None or any(row["episode_index"] >= total for row in rows):
            strays.append(path)
            continue
        episodes += len(rows)
        for row in rows:
            known.add(_path(root, info["data_path"], row, "data"))
            for key, feature in info["features"].items():
                if feature["dtype"] == "video":
                    template = info["video_path"].replace("{video_key}", key)
                    known.add(_path(root, template, row, f"videos/{key}"))
    files = [*(root / "data").rglob("*.parquet"), *(root / "videos").rglob("*.mp4")]
    return strays + sorted(path for path in files if path not in known), episodes == total


def _rows(path: Path) -> list[dict[str, int | str]] | None:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid):
        return None
    columns = [c for c in file.schema_arrow.names if c.endswith("_index")]
    rows: list[dict[str, int | str]] = file.read(columns=columns).to_pylist()
    return rows


def _path(root: Path, template: str, row: dict[str, int | str], prefix: str) -> Path:
    return root / template.format(
        chunk_index=row[f"{prefix}/chunk_index"], file_index=row[f"{prefix}/file_index"]
    )


def set_aside(root: Path, strays: list[Path]) -> Path:
    """Move files of a data set to ``<name>.recovered``; returns the folder there."""
    aside = root.parent / f"{root.name}.recovered" / time.strftime("%Y%m%d-%H%M%S")
    for path in strays:
        target = aside / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return aside
