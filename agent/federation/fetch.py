"""A file from the fleet's server, from where an earlier attempt was cut."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from agent.fleet import FleetClient, UnreachableError
from agent.policy.atomic import sha256
from robots.errors import FederationError, ModelError


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A whole file that is what the manifest says.

    Args:
        path: Where it lies.
        bytes: That came this time.
        resumed_at: Bytes that were there before.
        seconds: How long it took.
    """

    path: Path
    bytes: int
    resumed_at: int
    seconds: float


def fetch_file(
    client: FleetClient, version: int, file: str, *, size: int, digest: str, folder: Path
) -> Fetched:
    """Fetch a file of a release.

    The partial file carries the digest in its name: what is there belongs to this file or isn't
    used. A file whose sha256 is wrong in the end is removed, so that the next attempt begins anew.

    Args:
        client: Of the fleet's server.
        version: Of the release; 0: the base policy.
        file: As its manifest names it.
        size: Its bytes, as the manifest says.
        digest: Its sha256 in hex, as the manifest says.
        folder: Where it is kept, under ``<digest>.partial``.

    Raises:
        UnreachableError: the connection was cut; what came is kept.
        FederationError: the server has no such file.
        ModelError: the sha256 is wrong.
    """
    partial = folder / f"{digest}.partial"
    offset = partial.stat().st_size if partial.exists() else 0
    if offset > size:
        partial.unlink()
        offset = 0
    begun_at, started = offset, time.monotonic()
    with partial.open("ab") as out:
        if offset < size:
            for chunk in client.fetch(version, file, offset, size):
                if chunk.offset != offset or offset + len(chunk.data) > size:
                    raise FederationError("the server sent other bytes than were asked for")
                out.write(chunk.data)
                offset += len(chunk.data)
        out.flush()
        os.fsync(out.fileno())
    if offset < size:
        raise UnreachableError(f"the server ended the file after {offset} of {size} bytes")
    got = sha256(partial)
    if got != digest:
        partial.unlink()
        raise ModelError(
            f"its sha256 is {got[:16]}…, the manifest's {digest[:16]}…",
            field="release",
            value=version,
        )
    return Fetched(
        path=partial,
        bytes=size - begun_at,
        resumed_at=begun_at,
        seconds=time.monotonic() - started,
    )
