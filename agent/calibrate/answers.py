"""What the person says: lines from a terminal or a pipe, waited for or looked for."""

from __future__ import annotations

import os
import select
from collections import deque

from rich.console import Console

from robots.errors import ConfigError


class Answers:
    """Reads stdin itself: Python's own buffer would hide from ``select`` what it has swallowed.

    Args:
        console: Where questions are shown.
        descriptor: Of stdin.
    """

    def __init__(self, console: Console, descriptor: int = 0) -> None:
        self._console = console
        self._descriptor = descriptor
        self._lines: deque[str] = deque()
        self._rest = b""
        self._ended = False

    def ask(self, question: str) -> str:
        """Show a question and wait for its answer, without white space around it.

        Raises:
            ConfigError: stdin ended, so nobody is there to answer.
        """
        self._console.print(question, end=" ", markup=False, highlight=False)
        self._console.file.flush()
        while True:
            line = self.said(wait_s=None)
            if line is not None:
                return line

    def agrees(self, question: str) -> bool:
        """A question to which anything but yes is no.

        Raises:
            ConfigError: stdin ended.
        """
        return self.ask(f"{question} [y/N]").lower() in ("y", "yes")

    def said(self, wait_s: float | None = 0.0) -> str | None:
        """The next line if there is one within ``wait_s`` (``None``: for ever).

        Raises:
            ConfigError: stdin ended.
        """
        if not self._lines and self._readable(wait_s):
            self._receive()
        if self._lines:
            return self._lines.popleft()
        if self._ended:
            raise ConfigError(
                "ended before everything was answered; nothing was written",
                field="stdin",
                remedy="Run it in a terminal (or with --write --yes, which asks nothing)",
            )
        return None

    def _readable(self, wait_s: float | None) -> bool:
        if self._ended:
            return False
        try:
            return bool(select.select([self._descriptor], [], [], wait_s)[0])
        except (OSError, ValueError):
            # There is no stdin at all: a daemon's was closed.
            self._ended = True
            return False

    def _receive(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except OSError:
            data = b""
        if not data:
            # The end: a last line without its newline is an answer as well.
            self._ended = True
            data = b"\n" if self._rest else b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines += [line.decode(errors="replace").strip() for line in lines]
