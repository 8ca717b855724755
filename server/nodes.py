"""Which robots may join: their names and public keys, and the SuperLink's nodes that they are.

The file is what the operator wants; :func:`reconcile` makes the SuperLink's database agree with it,
also after that was lost. The SuperLink lets in whoever proves to have a registered key, and keeps
the name beside it: the name of a node is never the robot's own word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.policy.atomic import write_text
from robots.errors import ConfigError
from robots.names import check_name
from server.changing import changing


@dataclass(frozen=True)
class Node:
    """A robot as the SuperLink knows it.

    Args:
        id: Flower's node id.
        name: As it was registered; empty: it registered itself (without TLS).
        public_key: PEM.
        online: Whether its heartbeat is fresh.
    """

    id: int
    name: str
    public_key: bytes
    online: bool


class Control(Protocol):
    """What is needed of the SuperLink's Control API."""

    def nodes(self) -> list[Node]: ...

    def register(self, name: str, public_key: bytes) -> int: ...

    def unregister(self, node_id: int) -> None: ...


class Nodes:
    """The file of robots: public keys by name, as OpenSSH writes them, and those that were removed.

    Args:
        path: It is made by the first ``add``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def keys(self) -> dict[str, str]:
        """By name.

        Raises:
            ConfigError: the file can't be read.
        """
        return self._read()[0]

    def add(self, name: str, line: str) -> None:
        """Let a robot in, or give it another key.

        Args:
            name: Its name in the fleet.
            line: Its public key, as ``armada key`` prints it.

        Raises:
            ConfigError: no such name or key, another robot's key, or one that was removed.
        """
        check_name("robot", name)
        pem(line)
        key = " ".join(line.split()[:2])
        with changing(self._path, field="--state_dir"):
            keys, removed = self._read()
            for other, known in keys.items():
                if other != name and known == key:
                    raise ConfigError(f"is {other}'s key", field="--key", value=line)
            if key in removed:
                raise ConfigError(
                    "was removed, and Flower lets no key in twice",
                    field="--key",
                    value=line,
                    remedy="Delete node.key on the robot, start it again, and give its new key",
                )
            if keys.get(name, key) != key:
                removed.append(keys[name])
            self._write({**keys, name: key}, removed)

    def remove(self, name: str) -> None:
        """Let a robot in no more.

        Raises:
            ConfigError: there is none of that name.
        """
        with changing(self._path, field="--state_dir"):
            keys, removed = self._read()
            key = keys.pop(name, None)
            if key is None:
                raise ConfigError("isn't registered", field="robot", value=name)
            self._write(keys, [*removed, key])

    def _read(self) -> tuple[dict[str, str], list[str]]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
            return dict(known["robots"]), list(known["removed"])
        except FileNotFoundError:
            return {}, []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"can't be read: {error}", field="robots", value=self._path
            ) from error

    def _write(self, keys: Mapping[str, str], removed: Sequence[str]) -> None:
        text = json.dumps({"robots": keys, "removed": removed}, indent=1, sort_keys=True)
        write_text(self._path, text)


def reconcile(wanted: Mapping[str, str], control: Control) -> dict[int, str]:
    """Register and unregister until the SuperLink agrees.

    Args:
        wanted: Names and public keys.
        control: The SuperLink.

    Returns:
        The names of the nodes, by node id.

    Raises:
        FederationError: the SuperLink doesn't answer or refuses.
    """
    missing = {name: pem(key) for name, key in wanted.items()}
    names: dict[int, str] = {}
    for node in control.nodes():
        if node.name and missing.get(node.name) == node.public_key:
            names[node.id] = node.name
            del missing[node.name]
        else:
            control.unregister(node.id)
    for name, key in missing.items():
        names[control.register(name, key)] = name
    return names


def node_names(path: Path) -> dict[int, str]:
    """The names of the nodes, by node id, as the fleet service found them; empty without TLS."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {int(number): str(name) for number, name in names.items()}


def write_node_names(path: Path, names: Mapping[int, str]) -> None:
    """For :func:`node_names`, in other processes."""
    write_text(path, json.dumps(names, indent=1))


def pem(line: str) -> bytes:
    """A public key as Flower wants it.

    Raises:
        ConfigError: no public key, or none that a SuperNode can have.
    """
    try:
        key = serialization.load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            "is no public key",
            field="--key",
            value=line,
            remedy="Give the line that `armada key` prints on the robot",
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ConfigError("is no ECDSA key", field="--key", value=line)
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
