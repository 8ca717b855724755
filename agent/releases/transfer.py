"""Files of a release over a network that comes and goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.federation.fetch import fetch_file
from agent.fleet import FleetClient, UnreachableError
from agent.releases.manifest import Manifest

Emit = Callable[..., None]
"""Where events go: ``emit(kind, **data)``."""

WAITS_S = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Between attempts that brought nothing; then it is given up, and whoever asked tries later."""


class Transfer:
    """Fetches files into one folder, each byte once.

    Args:
        client: Of the fleet's server.
        folder: Where files lie under their sha256 until they are taken.
        emit: Where events go.
        waits_s: Between attempts that brought nothing.
    """

    def __init__(
        self, client: FleetClient, folder: Path, emit: Emit, waits_s: Sequence[float] = WAITS_S
    ) -> None:
        self.client = client
        self._folder = folder
        self._emit = emit
        self._waits_s = waits_s

    def missing(self, manifest: Manifest, file: str) -> int:
        """Bytes of a file that are still to come."""
        entry = manifest.files[file]
        return max(0, entry.bytes - self._there(entry.sha256))

    def fetch(self, manifest: Manifest, file: str) -> Path:
        """A whole file of a release, verified; who called removes it when it has served.

        A connection that is cut is made again, and goes on where the last one ended, as long as
        something comes.

        Raises:
            UnreachableError: nothing came any more; what came is kept.
            FederationError: the server hasn't got the file.
            ModelError: the sha256 is wrong.
        """
        entry = manifest.files[file]
        self._folder.mkdir(parents=True, exist_ok=True)
        began, begun_at = time.monotonic(), self._there(entry.sha256)
        cuts, idle = [], 0
        while True:
            before = self._there(entry.sha256)
            try:
                fetched = fetch_file(
                    self.client,
                    manifest.version,
                    file,
                    size=entry.bytes,
                    digest=entry.sha256,
                    folder=self._folder,
                )
                break
            except UnreachableError as error:
                there = self._there(entry.sha256)
                idle = 0 if there > before else idle + 1
                if idle > len(self._waits_s):
                    raise
                if there > before:
                    cuts.append(there)
                    self._emit(
                        "release_fetch_cut",
                        version=manifest.version,
                        file=file,
                        bytes=there,
                        total=entry.bytes,
                        reason=str(error),
                    )
                time.sleep(self._waits_s[max(0, idle - 1)] if self._waits_s else 0.0)
        self._emit(
            "release_fetched",
            version=manifest.version,
            file=file,
            bytes=entry.bytes - begun_at,
            resumed_at=begun_at,
            cuts=cuts,
            seconds=round(time.monotonic() - began, 3),
        )
        return fetched.path

    def drop(self, manifest: Manifest, file: str) -> None:
        """Remove what came of a file: it has served, or won't."""
        self._path(manifest.files[file].sha256).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.partial"

    def _there(self, digest: str) -> int:
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return 0
