"""Carries out a fault's commands: on the emulated arm, and on what stands around it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.fault import Command
from benchmarks.rig import Power


def pulls(power: Power) -> str:
    """Servos 1–6 by the plant's account: 1, it pulls; 0, it is limp."""
    account: dict[str, bool] = power.do("account")["pulls"]
    return "".join("1" if on else "0" for on in account.values())


def holds(seen: str, wanted: str) -> bool:
    """Whether all pull that should."""
    return all(s == "1" for s, w in zip(seen, wanted, strict=True) if w == "1")


class Around:
    """An arm and its surroundings.

    Args:
        power: The arm.
        order: Gives an operator's order, by name.
        signal: Sends a signal to who drives.
        stop_file: Where a button's script makes it.
        control_socket: The agent's control socket.
    """

    def __init__(
        self,
        power: Power,
        *,
        order: Callable[[str], object],
        signal: Callable[[int], object],
        stop_file: Path,
        control_socket: Path | None = None,
    ) -> None:
        self._power = power
        self._order = order
        self._signal = signal
        self._stop_file = stop_file
        self._socket = control_socket
        self._rival: Rival | None = None

    def do(self, *commands: Command) -> None:
        """One after the other."""
        for command in commands:
            on = command.get("on", True)
            match command["do"]:
                case "order":
                    self._order(command["name"])
                case "signal":
                    self._signal(command["number"])
                case "stop_file":
                    self._stop_file.touch() if on else self._stop_file.unlink(missing_ok=True)
                case "nonsense":
                    assert self._socket is not None
                    talk_nonsense(self._socket)
                case "rival":
                    self._end_rival()
                    self._rival = Rival(self._power.port) if on else None
                case _:
                    self._power.do(**command)

    def mend(self) -> None:
        """Everything is as it was, whatever was not ended."""
        self._end_rival()
        self._stop_file.unlink(missing_ok=True)
        self._power.do("mend")

    def _end_rival(self) -> None:
        if self._rival is not None:
            self._rival.end()
            self._rival = None


def talk_nonsense(path: Path) -> None:
    """Says what no client should, each on a connection of its own that is then left open a moment.

    Args:
        path: The control socket.
    """

    def message(**fields: object) -> bytes:
        header = json.dumps(fields).encode()
        return struct.pack("!II", len(header), 0) + header

    hello = message(kind="hello", role="recorder")
    for words in (
        bytes(range(256)),
        struct.pack("!II", 3, 0) + b"xyz",
        message(nothing=1),
        message(kind="hello", role=["cli"]),
        message(kind="hello", role="supervisor", pid="x"),
        message(kind="hello", role="policy"),
        hello + message(kind="free", slot=10**9),
        hello + message(kind="saved", episodes="many"),
        message(kind="hello", role="cli") + message(kind="event", event=["stopped"]),
        message(kind="hello", role="cli") + message(kind="command", name={}, args=[1]),
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(path))
            with contextlib.suppress(OSError):
                client.sendall(words)
                while client.recv(1 << 16):
                    # Until it hangs up, or has nothing more to say.
                    client.settimeout(0.2)


class Rival:
    """Reads a port that somebody else drives, and so takes away half of the answers.

    Args:
        port: The port.
    """

    def __init__(self, port: Path) -> None:
        self._file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Close it."""
        self._over.set()
        self._thread.join(2.0)
        os.close(self._file)

    def _read(self) -> None:
        while not self._over.is_set():
            ready, _, _ = select.select([self._file], [], [], 0.05)
            with contextlib.suppress(OSError):
                if ready:
                    os.read(self._file, 256)
