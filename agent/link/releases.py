"""Pulls releases when a notice or an order comes: one at a time, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent.link.config import LinkConfig
from agent.link.messages import ReleaseNotice
from agent.releases.outcome import FAILED, LATER, OFFERED, PINNED, REFUSED, TAKEN, WAITS
from agent.supervisor.child import die_with_parent
from robots.errors import LinkError

logger = logging.getLogger(__name__)

_RETRIES_S = (2.0, 5.0, 15.0, 60.0, 300.0, 900.0)
"""Then as often as at last, for as long as no newer release is announced."""

_LINE_MAX = 1 << 20

_SILENT_S = 3600.0
"""A pull that says nothing for longer hangs. It speaks after each file and each episode; one that
fetches over a line so slow that a file takes longer goes on where it was ended."""

_WAIT_S = 1800.0
"""Until a release that waits for more episodes is looked at again."""

_DECIDED = {TAKEN: "taken", REFUSED: "refused", PINNED: "pinned", OFFERED: "offered"}

Emit = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """A release to pull.

    Args:
        version: Its number; 0: the latest.
        key: Of the notice that told of it; empty: the operator's order.
        tries: How often it failed.
    """

    version: int
    key: str = ""
    tries: int = 0


class ReleasePuller:
    """Runs ``python -m agent.releases`` and passes on what it says.

    A release that was decided upon (taken or refused) is not pulled again by its notice, nor one
    that was rolled back; the order to pull does. One that waits for more episodes is looked at
    again now and then. One that could not be fetched is tried again, more and more slowly, until a
    newer one is announced; one that can't be taken (:data:`FAILED`) isn't until the link
    starts anew: trying costs as much as succeeding, and what is wrong needs somebody.

    Args:
        config: The link's.
        emit: Where events go.
    """

    def __init__(self, config: LinkConfig, emit: Emit) -> None:
        self._config = config
        self._emit = emit
        self._decided_path = config.state / "releases.json"
        self._decided = _read(self._decided_path)
        self._wanted: asyncio.Queue[_Wish] = asyncio.Queue()
        self._open: set[str] = set()
        self._failed: set[str] = set()
        self._newest = ""
        self._server = config.server

    def notice(self, notice: ReleaseNotice) -> None:
        """A release is there."""
        key = f"{notice.version} {notice.digest}"
        self._newest = key
        self._server = self._config.server or notice.address or self._server
        if key in self._decided or key in self._open | self._failed:
            return
        if not self._server:
            self._failed.add(key)
            cause = "it doesn't say which server has it: give this robot --federation.server"
            self._emit("release_failed", cause, version=notice.version)
            return
        self._open.add(key)
        self._want(_Wish(version=notice.version, key=key))

    def order(self, version: int) -> str:
        """The operator wants a release (0: the latest); returns who will be asked.

        Raises:
            LinkError: no server is known.
        """
        if not self._server:
            raise LinkError(
                "this agent knows no server, and no release notice named one",
                field="pull",
                remedy="Give --federation.server",
            )
        self._want(_Wish(version=version))
        return self._server

    def _want(self, wish: _Wish) -> None:
        self._wanted.put_nowait(wish)

    async def run(self) -> None:
        """For ever: see to one wish after the other."""
        while True:
            wish = await self._wanted.get()
            if wish.key and wish.key != self._newest:
                self._open.discard(wish.key)
                continue
            status = await self._pull(wish)
            if not wish.key:
                continue  # the operator has seen its events and orders anew, or not
            if status in _DECIDED:
                self._remember(wish.key, _DECIDED[status])
                self._open.discard(wish.key)
            elif status == WAITS:
                asyncio.get_running_loop().call_later(_WAIT_S, self._want, replace(wish, tries=0))
            elif status == FAILED:
                self._failed.add(wish.key)
                self._open.discard(wish.key)
            else:
                again = replace(wish, tries=wish.tries + 1)
                wait_s = _RETRIES_S[min(wish.tries, len(_RETRIES_S) - 1)]
                asyncio.get_running_loop().call_later(wait_s, self._want, again)

    async def _pull(self, wish: _Wish) -> int:
        config = self._config
        command = [
            *config.release_command,
            f"--state_dir={config.state_dir}",
            # Who announced it last: what is tried for long may have moved.
            f"--server={self._server}",
            f"--version={wish.version}",
            f"--dataset-root={config.dataset_root}",
        ]
        if wish.key:
            command.append("--announced")
        if config.root_certificates:
            command.append(f"--root-certificates={config.root_certificates}")
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE_MAX,
                # Two pulls at a time would write to the same partial file: it ends with the link.
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            self._emit("release_failed", f"{command[0]} can't be run: {error.strerror}")
            return FAILED
        assert process.stdout is not None
        try:
            while line := await asyncio.wait_for(process.stdout.readline(), _SILENT_S):
                self._pass_on(line)
            status = await asyncio.wait_for(process.wait(), _SILENT_S)
            if status < 0:
                # By the kernel when memory is short, say: it had no time to tell why.
                cause = f"its pull was killed by signal {-status}"
                self._emit("release_delayed", cause, version=wish.version)
            return status
        except TimeoutError:
            cause = f"its pull said nothing for {_SILENT_S:g} s and was killed"
            self._emit("release_delayed", cause, version=wish.version)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return LATER
        except ValueError:
            self._emit("release_failed", f"{command[0]} says lines longer than {_LINE_MAX} B")
            return FAILED
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    def _pass_on(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            logger.warning("not an event: %r", line[:200])
            return
        kind = str(said.get("event", "release"))
        if kind == "alive":
            return
        data = {k: v for k, v in said.items() if k not in ("event", "time", "reason")}
        self._emit(kind, str(said.get("reason", kind.replace("_", " "))), **data)

    def _remember(self, key: str, what: str) -> None:
        self._decided[key] = what
        partial = self._decided_path.with_suffix(".tmp")
        partial.write_text(json.dumps(self._decided))
        partial.replace(self._decided_path)


def _read(path: Path) -> dict[str, str]:
    """What was decided; a file that a power cut emptied costs a second look at a release."""
    try:
        decided = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return decided if isinstance(decided, dict) else {}
