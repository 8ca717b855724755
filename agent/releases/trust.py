"""Whose releases a robot takes: the keys that its owner gave it, or the first that it met.

Without ``--federation.release_key`` the key of the first release is kept, as ``ssh`` keeps that of
a host (trust on first use), and from then on another key is refused. A server that changes its key
on purpose does so in peace when its robots are told of both beforehand.
"""

from __future__ import annotations

import time
from pathlib import Path

from agent.policy.atomic import write_text
from agent.releases.signature import Signature, read_keys
from robots.errors import ConfigError, ModelError

_HEAD = (
    "# Keys whose releases this robot takes, one a line. The first was met first and believed;\n"
    "# `armada models trust KEY` adds one, a line that is deleted is trusted no more.\n"
)


class TrustedKeys:
    """The keys that one robot trusts.

    Args:
        path: Where those that were met are kept.
        configured: Those of ``--federation.release_key``: if there are any, they alone count.
    """

    def __init__(self, path: Path, configured: tuple[str, ...] = ()) -> None:
        self._path = path
        self._configured = configured

    def keys(self) -> tuple[str, ...]:
        """All of them.

        Raises:
            ConfigError: the file in the state folder holds something else.
        """
        if self._configured:
            return self._configured
        try:
            return read_keys(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ()

    def check(self, data: bytes, signature: bytes) -> bool:
        """Believe a manifest, or refuse it.

        Args:
            data: The manifest's bytes.
            signature: What lies beside it.

        Returns:
            Whether its key was met for the first time, and is trusted from now on.

        Raises:
            ModelError: not signed, signed by somebody else, or not what was signed.
        """
        signed = Signature.parse(signature)
        keys = self.keys()
        if keys and signed.key not in keys:
            where = "--federation.release_key" if self._configured else str(self._path)
            raise ModelError(
                f"is none of those that this robot trusts ({where})",
                field="the release's key",
                value=signed.key,
                remedy="If the server changed its key on purpose: armada models trust KEY, or give "
                "both by --federation.release_key; if not, the release is somebody else's",
            )
        if not signed.covers(data):
            raise ModelError(
                "doesn't fit the manifest: one of them was changed since",
                field="the release's signature",
                remedy="No release is taken without one; ask who runs the server",
            )
        if not keys:
            self._write((signed.key,))
        return not keys

    def trust(self, key: str) -> None:
        """Take releases of this key as well.

        Raises:
            ConfigError: the owner configured keys, and they alone count.
        """
        if self._configured:
            raise ConfigError(
                "the keys of --federation.release_key alone count here",
                field="key",
                value=key,
                remedy="Add it to that file",
            )
        if key not in self.keys():
            self._write((*self.keys(), key))

    def _write(self, keys: tuple[str, ...]) -> None:
        day = time.strftime("%Y-%m-%d")
        known = self._path.read_text(encoding="utf-8") if self._path.exists() else _HEAD
        new = [key for key in keys if key not in read_keys(known)]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._path, known + "".join(f"{key}  # since {day}\n" for key in new))
