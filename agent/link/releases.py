"""Pulls releases when a notice or an order comes: one at a time, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from agent.link.config import LinkConfig
from agent.link.messages import ReleaseNotice
from robots.errors import LinkError

logger = logging.getLogger(__name__)

PROMOTED, REFUSED = 0, 3
_RETRIES_S = (2.0, 5.0, 15.0, 60.0)

Emit = Callable[..., None]


class ReleasePuller:
    """Runs ``python -m agent.releases`` and passes on what it says.

    A release that was decided upon (taken or refused) is not pulled again by its notice; the order
    to pull does. One that could not be fetched is tried again, more and more slowly.

    Args:
        config: The link's.
        emit: Where events go.
    """

    def __init__(self, config: LinkConfig, emit: Emit) -> None:
        self._config = config
        self._emit = emit
        self._decided_path = config.state / "releases.json"
        self._decided: dict[str, str] = {}
        if self._decided_path.is_file():
            self._decided = json.loads(self._decided_path.read_text())
        self._wanted: asyncio.Queue[tuple[int, str, str]] = asyncio.Queue()
        self._queued: set[int] = set()

    def notice(self, notice: ReleaseNotice) -> None:
        """A release is there."""
        key = f"{notice.version} {notice.digest}"
        if key in self._decided or notice.version in self._queued:
            return
        self._queued.add(notice.version)
        self._wanted.put_nowait((notice.version, self._config.server or notice.address, key))

    def order(self, version: int) -> str:
        """The operator wants a release (0: the latest); returns what will be asked.

        Raises:
            LinkError: no server is known.
        """
        if not self._config.server:
            raise LinkError(
                "this agent knows no server", field="pull", remedy="Give --federation.server"
            )
        self._wanted.put_nowait((version, self._config.server, ""))
        return self._config.server

    async def run(self) -> None:
        """For ever: take the next wish and see it through."""
        while True:
            version, server, key = await self._wanted.get()
            for wait_s in (*_RETRIES_S, None):
                status = await self._pull(version, server)
                if status in (PROMOTED, REFUSED):
                    if key:
                        self._remember(key, "taken" if status == PROMOTED else "refused")
                    break
                if wait_s is None:
                    self._emit(
                        "release_given_up", "it could not be pulled; the next notice tries again"
                    )
                    break
                await asyncio.sleep(wait_s)
            self._queued.discard(version)

    async def _pull(self, version: int, server: str) -> int:
        config = self._config
        command = [
            *config.release_command,
            f"--state_dir={config.state_dir}",
            f"--server={server}",
            f"--version={version}",
            f"--dataset-root={config.dataset_root}",
        ]
        if config.root_certificates:
            command.append(f"--root-certificates={config.root_certificates}")
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self._pass_on(line)
            return await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    def _pass_on(self, line: bytes) -> None:
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            logger.warning("not an event: %r", line[:200])
            return
        kind = str(said.get("event", "release"))
        data = {k: v for k, v in said.items() if k not in ("event", "time", "reason")}
        self._emit(kind, str(said.get("reason", kind.replace("_", " "))), **data)

    def _remember(self, key: str, what: str) -> None:
        self._decided[key] = what
        partial = self._decided_path.with_suffix(".tmp")
        partial.write_text(json.dumps(self._decided))
        partial.replace(self._decided_path)
