"""Makes the saving of an episode all or nothing, also under SIGKILL.

LeRobot changes several files when an episode is saved, and a parquet file has no footer until it is
closed. Before that, the three small files that are rewritten are copied beside the data set; when
everything is in place the copies go. Copies that are still there at start-up mean that a save was
cut off: they are put back, and files that no saved episode names are set aside.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from robots.replay.info import read_info

_REWRITTEN = ("info.json", "stats.json", "tasks.parquet")


def _folder(root: Path) -> Path:
    return root.parent / f".{root.name}.undo"


def begin(root: Path) -> None:
    """Remember the state before a save."""
    folder = _folder(root)
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in _REWRITTEN:
        if (root / "meta" / name).is_file():
            shutil.copy2(root / "meta" / name, partial / name)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def commit(root: Path) -> None:
    """The save is complete. A rename is what decides; removing takes longer than an instant."""
    done = _folder(root).with_suffix(".done")
    shutil.rmtree(done, ignore_errors=True)
    _folder(root).rename(done)
    shutil.rmtree(done)


def recover(root: Path) -> list[str]:
    """Undo a save that was cut off, and clear away what a crash left.

    Returns:
        What was done, for people; empty when there was nothing to do.
    """
    done: list[str] = []
    folder = _folder(root)
    cut_off = folder.is_dir()
    if cut_off:
        for name in _REWRITTEN:
            if (folder / name).is_file():
                shutil.copy2(folder / name, root / "meta" / name)
            else:
                (root / "meta" / name).unlink(missing_ok=True)
        done.append("a save that was cut off was undone")
    if root.is_dir():
        if (root / "meta" / "info.json").is_file():
            strays = _strays(root)
        else:
            strays = [p for p in root.rglob("*") if p.is_file()]
        if strays:
            aside = _set_aside(root, strays)
            done.append(f"{len(strays)} unfinished files were moved to {aside}")
        _clear_temporary(root)
        if not any(p.is_file() for p in root.rglob("*")):
            shutil.rmtree(root)
        else:
            read_info(root)
    shutil.rmtree(folder, ignore_errors=True)
    return done


def _strays(root: Path) -> list[Path]:
    """Files under data/, videos/ and meta/episodes/ that no episode of info.json names."""
    info = json.loads((root / "meta" / "info.json").read_text(encoding="utf-8"))
    total = info["total_episodes"]
    known: set[Path] = set()
    strays: list[Path] = []
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        rows = _rows(path)
        if rows is None or any(row["episode_index"] >= total for row in rows):
            strays.append(path)
            continue
        for row in rows:
            known.add(_path(root, info["data_path"], row, "data"))
            for key, feature in info["features"].items():
                if feature["dtype"] == "video":
                    template = info["video_path"].replace("{video_key}", key)
                    known.add(_path(root, template, row, f"videos/{key}"))
    files = [*(root / "data").rglob("*.parquet"), *(root / "videos").rglob("*.mp4")]
    return strays + sorted(path for path in files if path not in known)


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


def _set_aside(root: Path, strays: list[Path]) -> Path:
    aside = root.parent / f"{root.name}.recovered" / time.strftime("%Y%m%d-%H%M%S")
    for path in strays:
        target = aside / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return aside


def _clear_temporary(root: Path) -> None:
    """Pictures on their way to an encoder and videos on their way to their place."""
    shutil.rmtree(root / "images", ignore_errors=True)
    for folder in root.glob("tmp*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
