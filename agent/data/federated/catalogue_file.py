"""``datasets.yaml``: a catalogue as people write it.

::

    clients:
    - name: so100-pickplace              # its partition is its place in this list
      dataset: lerobot/svla_so100_pickplace    # hub id, or a folder (relative: to this file)
      episodes: 50
      frames: 19631
      verdict: unchecked                 # or CLEAN, REPAIRED, REJECTED; the check fills it in
      train: 0-44                        # by default all but the last tenth
      evaluation: 45-49                  # by default the last tenth
      left_out: 3, 7                     # episodes that the check found not to be clean
    evaluation:                          # data sets that nobody learns from, as a rule whole
    - …
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from agent.data.check.finding import Verdict
from agent.data.federated.catalogue import Catalogue, DataEntry, default_split
from agent.data.federated.numbers import read_numbers, write_numbers
from agent.policy import atomic
from robots.errors import ConfigError

SHIPPED: Final = Path(__file__).with_name("datasets.yaml")
"""The field's first public federation, as an example."""

UNCHECKED = "unchecked"
_GROUPS = ("clients", "evaluation")
_NUMBERS = ("train", "evaluation", "left_out")
_FIELDS = ("name", "dataset", "episodes", "frames", "verdict", *_NUMBERS)
_NEEDED = ("dataset", "episodes", "frames")


def read_catalogue(path: Path) -> Catalogue:
    """Read a ``datasets.yaml``.

    Raises:
        ConfigError: it can't be read, or a field is missing, unknown or wrong: names both.
    """
    data = _load(path)
    place = ""
    try:
        groups: dict[str, tuple[DataEntry, ...]] = {}
        for group in _GROUPS:
            place = group
            listed = data.get(group) or []
            if not isinstance(listed, list):
                raise ConfigError("must be a list")
            entries = []
            for i, written in enumerate(listed):
                place = f"{group}[{i}]"
                entries.append(_entry(written, group))
            groups[group] = tuple(entries)
        place = ""
        return Catalogue(**groups, folder=path.absolute().parent)
    except ConfigError as error:
        where = ".".join(part for part in (place, error.field) if part)
        raise ConfigError(
            error.message, field=f"{path}: {where}", value=error.value, remedy=error.remedy
        ) from error


def write_catalogue(catalogue: Catalogue, path: Path) -> None:
    """Write it, whole or not at all; the comment at the head of what was there stays."""
    data = {"clients": [_written(entry, "train", "evaluation") for entry in catalogue.clients]}
    if catalogue.evaluation:
        data["evaluation"] = [_written(entry, "evaluation") for entry in catalogue.evaluation]
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    atomic.write_text(path, _head(path) + text)


def _load(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"can't be read ({error.strerror})", field="datasets", value=path
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"isn't valid YAML: {said}", field="datasets", value=path) from error
    if not isinstance(data, dict):
        raise ConfigError(
            "lists no clients", field="datasets", value=path, remedy="See docs/data.md"
        )
    _refuse_unknown(data, _GROUPS, f"{path}: ")
    return data


def _entry(written: object, group: str) -> DataEntry:
    if not isinstance(written, Mapping):
        raise ConfigError("must have fields", remedy=f"These: {', '.join(_FIELDS)}")
    _refuse_unknown(written, _FIELDS)
    for name in _NEEDED:
        if written.get(name) is None:
            raise ConfigError("is missing", field=name)
    values: dict[str, Any] = {
        "dataset": str(written["dataset"]),
        "verdict": _verdict(written.get("verdict", UNCHECKED)),
    }
    values["name"] = str(written.get("name") or values["dataset"].rstrip("/").rpartition("/")[2])
    for name in ("episodes", "frames"):
        values[name] = written[name]
        if isinstance(values[name], bool) or not isinstance(values[name], int):
            raise ConfigError("must be a whole number", field=name, value=values[name])
    train, evaluation = default_split(values["episodes"])
    if group == "evaluation":
        if written.get("train"):
            raise ConfigError("nobody learns from an evaluation set", field="train")
        train, evaluation = (), (*train, *evaluation)
    values |= {"train": train, "evaluation": evaluation}
    for name in _NUMBERS:
        if name in written:
            values[name] = _numbers(name, written[name])
    return DataEntry(**values)


def _numbers(name: str, written: object) -> tuple[int, ...]:
    if written is None or written == "":
        return ()
    try:
        return read_numbers(written)
    except ValueError as error:
        raise ConfigError(
            str(error), field=name, value=written, remedy="Write it like 0-44, 47"
        ) from error


def _verdict(written: object) -> Verdict | None:
    if written == UNCHECKED:
        return None
    try:
        return Verdict(str(written))
    except ValueError as error:
        known = ", ".join((UNCHECKED, *Verdict))
        raise ConfigError(
            "there is no such verdict", field="verdict", value=written, remedy=f"One of: {known}"
        ) from error


def _refuse_unknown(written: Mapping[Any, Any], known: tuple[str, ...], before: str = "") -> None:
    for name in written:
        if name not in known:
            raise ConfigError(
                "there is no such field",
                field=f"{before}{name}",
                remedy=f"One of: {', '.join(known)}",
            )


def _written(entry: DataEntry, *roles: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": entry.name,
        "dataset": entry.dataset,
        "episodes": entry.episodes,
        "frames": entry.frames,
        "verdict": UNCHECKED if entry.verdict is None else str(entry.verdict),
    }
    fields |= {role: write_numbers(getattr(entry, role)) for role in roles}
    if entry.left_out:
        fields["left_out"] = write_numbers(entry.left_out)
    return fields


def _head(path: Path) -> str:
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[:end])
