"""For commands that need a part of what ``armada run`` is told: its flags and its file serve them
too, and what concerns only a run is passed over."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from agent.commands.parsing import parse
from agent.config import RunConfig

_FILE = "--config_path"


def parse_part[T](config_class: type[T], argv: Sequence[str], *, prog: str) -> T:
    """Parse as ``agent.commands.parsing.parse``, passing over other fields of ``RunConfig``.

    Raises:
        ConfigError: a wrong field, value or file.
        SystemExit: ``--help`` was asked for (status 0).
    """
    own = {f.name: f.type for f in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    foreign = {f.name for f in dataclasses.fields(RunConfig)} - set(own)
    # What is a record of settings in a run and one word here: `dataset` of the doctor.
    words = {name for name, kind in own.items() if kind is str}
    args = list(_relevant(argv, foreign, words))
    with tempfile.TemporaryDirectory(prefix="armada-") as folder:
        for i, arg in enumerate(args):
            if arg == _FILE and i + 1 < len(args):
                args[i + 1] = _reduced(args[i + 1], foreign, words, Path(folder))
            elif arg.startswith(f"{_FILE}="):
                path = arg.removeprefix(f"{_FILE}=")
                args[i] = f"{_FILE}={_reduced(path, foreign, words, Path(folder))}"
        return parse(config_class, args, prog=prog)


def _relevant(argv: Sequence[str], foreign: set[str], words: set[str]) -> Iterator[str]:
    passing = False
    for word in argv:
        if word.startswith("--"):
            path = word.removeprefix("--").partition("=")[0]
            name, _, rest = path.partition(".")
            passing = name in foreign or (bool(rest) and name in words)
        if not passing:
            yield word


def _reduced(path: str, foreign: set[str], words: set[str], folder: Path) -> str:
    """A copy of a run's file without what is passed over; a file that is none stays what it is, for
    ``parse`` to refuse by its name."""
    try:
        data: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return path
    if not isinstance(data, dict):
        return path
    kept = {
        name: value
        for name, value in data.items()
        if name not in foreign and not (name in words and isinstance(value, dict))
    }
    if not kept or kept == data:
        return path
    copy = folder / f"{Path(path).stem}.yaml"
    copy.write_text(yaml.safe_dump(kept), encoding="utf-8")
    return str(copy)
