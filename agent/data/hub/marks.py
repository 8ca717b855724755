"""Whether one data set goes on where another ends, by their metadata alone.

A recording only grows. So what is on the hub may be replaced by what is here if all its episodes
are here too, at their places; otherwise something would be lost that nobody asked to lose.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import snapshot_download

from agent.policy.atomic import sha256_text
from robots.errors import DataError
from robots.replay.info import VERSION

_KEPT = ("length", "tasks")
_STATS = ("stats/action/", "stats/observation.state/")


def marks(root: Path) -> list[str]:
    """What each episode can be told by, in order: its length, its tasks, and the statistics of its
    states and actions.

    Args:
        root: A data set, or as much of one as has ``meta/``; empty where it has no episodes.

    Raises:
        DataError: its metadata can't be read.
    """
    rows: list[dict[str, object]] = []
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        try:
            names = pq.read_schema(path).names
            kept = [n for n in names if n in _KEPT or n.startswith(_STATS)]
            rows += pq.read_table(path, columns=["episode_index", *kept]).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise DataError("can't be read", field="dataset", value=path) from error
    rows.sort(key=lambda row: int(str(row["episode_index"])))
    return [sha256_text(json.dumps(row, sort_keys=True, default=str)) for row in rows]


def hub_marks(repo_id: str, commit: str) -> list[str] | None:
    """The marks of what is on the hub; ``None``: it is of another format.

    Args:
        repo_id: ``NAME/DATASET``.
        commit: Which version, as the commit's hash: huggingface_hub may answer for a branch or tag
            with what it fetched once, if the hub can't be reached.

    Raises:
        DataError: its metadata can't be read.
        HfHubHTTPError, OSError: the hub can't be reached, among others.
    """
    with tempfile.TemporaryDirectory() as folder:
        snapshot_download(
            repo_id,
            repo_type="dataset",
            revision=commit,
            allow_patterns=["meta/*"],
            local_dir=folder,
        )
        info = Path(folder) / "meta" / "info.json"
        if info.is_file() and json.loads(info.read_text()).get("codebase_version") != VERSION:
            return None
        return marks(Path(folder))


def goes_on(longer: list[str], shorter: list[str]) -> bool:
    """Whether ``longer`` begins with all of ``shorter``."""
    return longer[: len(shorter)] == shorter
