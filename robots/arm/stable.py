"""Names of devices that stay when things are plugged in elsewhere or in another order."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_ROOTS = ("/dev/serial/by-id", "/dev/v4l/by-id", "/dev/serial/by-path", "/dev/v4l/by-path")
"""By identity before by socket: an arm stays the same arm in another socket."""


def stable_name(path: str | int, roots: Iterable[str | Path] = _ROOTS) -> Path | None:
    """The link under which udev keeps a device, for ``/dev/ttyACM0``, ``/dev/video0`` or ``0``.

    Args:
        path: A device, or the number of a video device.
        roots: Folders of links, best first.

    Returns:
        The link; ``None`` when there is none, or ``path`` is a stable name already.
    """
    device = Path(f"/dev/video{path}") if isinstance(path, int) else Path(path)
    folders = [Path(root) for root in roots]
    if any(folder in device.parents for folder in folders) or not device.exists():
        return None
    target = device.resolve()
    for folder in folders:
        links = sorted(folder.iterdir()) if folder.is_dir() else []
        found = [link for link in links if link.resolve() == target]
        if found:
            return found[0]
    return None


def by_stable_names(config: Any, roots: Iterable[str | Path] = _ROOTS) -> list[str]:
    """Put stable names into a robot's or a teleoperator's configuration, those of its cameras and
    of two arms too; says what was changed. So a device is found again after it was away."""
    changes: list[str] = []
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if _names_device(entry.name, value):
            stable = stable_name(value, roots)
            if stable is not None:
                setattr(config, entry.name, stable if entry.name != "port" else str(stable))
                changes.append(f"{value} is {stable}")
        elif isinstance(value, dict):
            for part in value.values():
                if dataclasses.is_dataclass(part):
                    changes += by_stable_names(part, roots)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            changes += by_stable_names(value, roots)
    return changes


def _names_device(field: str, value: object) -> bool:
    if field == "port":
        return isinstance(value, str) and value.startswith("/dev/")
    if field != "index_or_path":
        return False
    return isinstance(value, int) or bool(re.fullmatch(r"/dev/video\d+", str(value)))
