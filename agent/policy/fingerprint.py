"""What identifies a policy folder as a whole: all its files, wherever it lies.

The digest of its weights alone says what it learned; two folders with the same weights can still
differ in their configuration or in the statistics of their processors.
"""

from __future__ import annotations

import json
from pathlib import Path

from agent.policy import atomic
from robots.errors import ModelError

OBJECT = "object.json"
"""The store's record of a model, beside its files."""

VLM = "vlm"
_NAMES_VLM = ("config.json", "policy_preprocessor.json")


def fingerprint(folder: Path) -> str:
    """Digest of all files of a policy folder, the same wherever it lies.

    Where a policy that brings its VLM along says that it lies doesn't count.

    Raises:
        ModelError: a file that has to be looked into isn't JSON.
    """
    brought_along = (folder / VLM).is_dir()
    lines = []
    for name in model_files(folder):
        path = folder / name
        if brought_along and name in _NAMES_VLM:
            data = atomic.sha256_text(_without_vlm_path(path))
        else:
            data = atomic.sha256(path)
        lines.append(f"{name} {data}\n")
    return f"sha256:{atomic.sha256_text(''.join(lines))}"


def model_files(folder: Path) -> list[str]:
    """Names of the files that make a model: no hidden ones, not the record itself."""
    paths = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return sorted(
        p.as_posix()
        for p in paths
        if p.as_posix() != OBJECT and not any(part.startswith(".") for part in p.parts)
    )


def _without_vlm_path(path: Path) -> str:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"isn't JSON: {error}", field="policy file", value=path) from error
    steps = data.get("steps", [])
    for part in (data, *(step.get("config", {}) for step in steps)):
        for key in ("vlm_model_name", "tokenizer_name"):
            if key in part:
                part[key] = VLM
    return json.dumps(data, sort_keys=True)
