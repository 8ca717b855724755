"""Exclusive use of a state folder and of the arms' ports, until this process and the control
process that inherits the descriptors are gone."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robots.arm.users import users
from robots.errors import ConfigError, DeviceError


def take(path: Path, *, field: str, value: object, message: str) -> int:
    """Lock ``path`` and return the descriptor that holds the lock.

    Raises:
        DeviceError: another process holds it; names its pid.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise DeviceError(
            f"{message} (pid {holder})", field=field, value=value, remedy="Stop that one first"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def ports(config: Any, flag: str) -> Iterator[tuple[str, str]]:
    """Every (flag, port) in a robot's or teleoperator's configuration, those of two arms too."""
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if entry.name == "port" and isinstance(value, str):
            yield f"{flag}.port", value
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from ports(value, f"{flag}.{entry.name}")


def take_port(flag: str, port: str) -> int:
    """Check that a serial port exists and lock it.

    Raises:
        ConfigError: no such port.
        DeviceError: another agent or any other process uses it; says which.
    """
    if not Path(port).exists():
        raise ConfigError(
            "there is no such port",
            field=flag,
            value=port,
            remedy="Plug the arm in; `lerobot-find-port` says where it is",
        )
    # By device, not by name: /dev/ttyACM0 and its /dev/serial/by-id link are one arm.
    digest = hashlib.sha256(str(Path(port).resolve()).encode()).hexdigest()[:16]
    lock = Path(tempfile.gettempdir()) / f"armada-{os.getuid()}" / f"port-{digest}.lock"
    held = take(lock, field=flag, value=port, message="the port is in use by another agent")
    for user in users(port):
        os.close(held)
        raise DeviceError(
            f"the port is open in {user}",
            field=flag,
            value=port,
            remedy="End that one first: two on one bus garble each other's answers",
        )
    return held
