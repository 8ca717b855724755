"""An emulated arm with its port, and the real control process on it: what fault tests, the soak run
and the benchmarks have in common.

The arm is LeRobot's ``so101_follower`` on the emulator's port, driven by the scripted expert.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import draccus

from agent.config import RunConfig
from agent.control.limits import GuardConfig
from agent.ipc import Channel, connect
from robots.emulator import joints
from robots.emulator.client import EmulatedArm
from robots.emulator.world import folder
from robots.registry import register_all

register_all()

from lerobot.robots.so_follower import SO101FollowerConfig  # noqa: E402

from robots.sim.config import ScriptedReachConfig, SO101SceneConfig  # noqa: E402


class Power:
    """Emulated servos, on while the context is: a process that this one starts.

    Args:
        robot_id: Names the arm, and its folder.
        seed: Of goals and random troubles.
        goal_period_s: Until the scene shows the next goal.
        plant: ``first_order`` or ``mujoco``.
        journal: Where the emulator notes every goal that is written; ``None``: nowhere.
    """

    def __init__(
        self,
        robot_id: str,
        *,
        seed: int = 0,
        goal_period_s: float = 2.0,
        plant: str = "first_order",
        journal: Path | None = None,
    ) -> None:
        self.robot_id = robot_id
        self.folder = folder(robot_id)
        self.port = self.folder / "port"
        self.calibration_dir = self.folder / "calibration"
        self._words = [f"--seed={seed}", f"--goal-period-s={goal_period_s}", f"--plant={plant}"]
        if journal is not None:
            self._words.append(f"--journal={journal}")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "robots.emulator.bus", f"--folder={self.folder}", *self._words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if "port" not in said:
            raise RuntimeError(f"the emulator didn't start: {said}")
        self.calibration_dir.mkdir(exist_ok=True)
        path = self.calibration_dir / f"{self.robot_id}.json"
        path.write_text(json.dumps(joints.calibration(), indent=4))
        self._arm = EmulatedArm(self.folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._arm.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def do(self, do: str, **arguments: Any) -> dict[str, Any]:
        """A command of ``robots.emulator.faults``."""
        return self._arm.do(do, **arguments)

    def torque(self) -> list[bool]:
        """Per servo, by the plant's account."""
        return [*self.do("account")["torque"].values()]

    def follower(self, **fields: Any) -> SO101FollowerConfig:
        """LeRobot's configuration of this arm, without cameras unless told otherwise."""
        given: dict[str, Any] = {
            "id": self.robot_id,
            "port": str(self.port),
            "calibration_dir": self.calibration_dir,
        }
        return SO101FollowerConfig(**given | fields)

    def camera(self) -> SO101SceneConfig:
        """A camera that sees this arm."""
        return SO101SceneConfig(robot_id=self.robot_id)


class Control:
    """The control process of an agent (``python -m agent.control``), and an ear on its socket.

    Args:
        power: The arm.
        state_dir: The agent's.
        fps: Ticks per second.
        camera: Whether the arm has one.
        guard: Its limits.
        changed: Other fields of the configuration.
    """

    def __init__(
        self,
        power: Power,
        state_dir: Path,
        *,
        fps: int = 30,
        camera: bool = True,
        guard: GuardConfig | None = None,
        **changed: Any,
    ) -> None:
        cameras = {"front": power.camera()} if camera else {}
        given: dict[str, Any] = {
            "robot": power.follower(cameras=cameras),
            "teleop": ScriptedReachConfig(id=power.robot_id, robot_id=power.robot_id, reach_s=0.8),
            "fps": fps,
            "guard": guard or GuardConfig(),
            "state_dir": str(state_dir),
        }
        self.config = RunConfig(**given | changed)
        self.events: list[dict[str, Any]] = []
        self.status: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None

    def __enter__(self) -> Self:
        state = self.config.state
        state.create()
        state.config.write_text(draccus.dump(self.config), encoding="utf-8")
        self.log = state.logs / "control.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent.control", f"--config_path={state.config}"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._channel = connect(state.control_socket, timeout_s=90.0)
        self._channel.send("hello", role="supervisor", pid=os.getpid(), subscribe=True)
        self.until(lambda: self.status.get("ticks", 0) > 5, "control ticks")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        if self._channel is not None:
            self._channel.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(15.0)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def poll(self, wait_s: float = 0.05) -> None:
        """Take what control says, for at most ``wait_s``."""
        assert self._channel is not None
        for message in self._channel.wait(wait_s):
            if message.kind == "telemetry":
                self.status = message.fields
            elif message.kind == "event":
                self.events.append(message.fields)

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> float:
        """Wait for a condition; how long it took, s.

        Raises:
            TimeoutError: it did not come.
        """
        began = time.monotonic()
        while not condition():
            self.poll()
            if not self.alive:
                raise RuntimeError(f"control has died: {self.log.read_text()[-2000:]}")
            if time.monotonic() - began > timeout_s:
                raise TimeoutError(f"not within {timeout_s} s: {what}; events: {self.events[-5:]}")
        return time.monotonic() - began

    def hear(self, *kinds: str, since: int = 0, timeout_s: float = 30.0) -> dict[str, Any]:
        """The first event of these kinds after the ``since``-th."""

        def heard() -> dict[str, Any] | None:
            return next((e for e in self.events[since:] if e["event"] in kinds), None)

        self.until(heard, f"an event of {kinds}", timeout_s)
        event = heard()
        assert event is not None
        return event

    def order(self, command: str, /, **args: Any) -> None:
        """Give a command, as an operator does."""
        assert self._channel is not None
        self._channel.send("command", id="rig", name=command, args=args)
