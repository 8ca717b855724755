"""Breaks and mends an emulated arm that runs; also ``python -m robots.emulator.client ID JSON``."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from robots.emulator.world import folder
from robots.errors import ConfigError, DeviceError

SOCKET = "faults"
_ANSWER_S = 5.0


class EmulatedArm:
    """A running emulated arm, as its fault script sees it.

    Args:
        path: Its folder (``world.folder(robot_id)``).

    Raises:
        DeviceError: none runs there.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._own = Path(tempfile.mkdtemp(prefix="armada-fault-")) / "s"
        self._socket.bind(str(self._own))
        self._socket.settimeout(_ANSWER_S)
        try:
            self._socket.connect(str(path / SOCKET))
        except OSError as error:
            self.close()
            raise DeviceError(
                "there is no such emulated arm", field="--robot.id", value=path.name
            ) from error

    def do(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Carry out a command of ``robots.emulator.faults``; it is in force when this returns.

        Raises:
            ConfigError: the emulator refuses it.
            DeviceError: it doesn't answer.
        """
        try:
            self._socket.send(json.dumps({"do": do} | arguments).encode())
            answer: dict[str, Any] = json.loads(self._socket.recv(1 << 16))
        except OSError as error:
            raise DeviceError("the emulated arm doesn't answer", field="do", value=do) from error
        if "error" in answer:
            raise ConfigError(answer["error"])
        return answer

    def close(self) -> None:
        self._socket.close()
        self._own.unlink(missing_ok=True)
        self._own.parent.rmdir()


def listen(path: Path) -> socket.socket:
    """The emulator's end."""
    (path / SOCKET).unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(path / SOCKET))
    (path / SOCKET).chmod(0o600)
    server.setblocking(False)
    return server


def main(argv: list[str]) -> int:
    """Print the answer as JSON."""
    if len(argv) != 2:
        sys.stderr.write('python -m robots.emulator.client ROBOT_ID \'{"do": "unplug"}\'\n')
        return 2
    command = json.loads(argv[1])
    arm = EmulatedArm(folder(argv[0]))
    try:
        sys.stdout.write(json.dumps(arm.do(**command)) + "\n")
    except (ConfigError, DeviceError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    finally:
        arm.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
