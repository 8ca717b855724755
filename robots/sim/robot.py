"""``--robot.type=so101_sim``: LeRobot's SO-101 follower on emulated servos."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lerobot.motors import MotorCalibration
from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

from robots.emulator import joints
from robots.emulator.bus import IN_USE
from robots.emulator.client import EmulatedArm
from robots.emulator.world import folder
from robots.errors import DeviceError
from robots.sim.config import SO101SceneConfig, SO101SimConfig
from robots.sim.judge import Judge, make_judge
from robots.sim.physics_config import SO101RenderedConfig


class SO101Sim(SO101Follower):  # type: ignore[misc]
    """LeRobot's unmodified follower, whose port is an emulator that it starts on ``connect``.

    Args:
        config: See SO101SimConfig.
    """

    config_class = SO101SimConfig
    name = "so101_sim"

    def __init__(self, config: SO101SimConfig) -> None:
        robot_id = config.id or "default"
        self.sim = config
        self.folder = folder(robot_id)
        self._emulator: subprocess.Popen[str] | None = None
        self._judge: Judge | None = None
        cameras = config.cameras or {
            "front": SO101RenderedConfig() if config.plant == "mujoco" else SO101SceneConfig()
        }
        super().__init__(
            SO101FollowerConfig(
                id=robot_id,
                calibration_dir=config.calibration_dir or self.folder / "calibration",
                port=str(self.folder / "port"),
                disable_torque_on_disconnect=config.disable_torque_on_disconnect,
                max_relative_target=config.max_relative_target,
                cameras={k: _aimed(camera, robot_id) for k, camera in cameras.items()},
                use_degrees=config.use_degrees,
                num_read_retries=config.num_read_retries,
            )
        )
        if not self.calibration:
            factory = joints.calibration()
            self.calibration: dict[str, MotorCalibration] = {
                name: MotorCalibration(**fields) for name, fields in factory.items()
            }
            self.bus.calibration = self.calibration
            self._save_calibration()

    def connect(self, calibrate: bool = True) -> None:
        """Start the emulator, then connect as LeRobot does; never asks for a calibration.

        Raises:
            DeviceError: an emulated arm of that id runs already, or it can't be started.
        """
        self.switch_on()
        try:
            super().connect(calibrate=False)
        except BaseException:
            self.switch_off()
            raise

    def disconnect(self) -> None:
        """Let go of the arm and end the emulator."""
        try:
            super().disconnect()
        finally:
            self.switch_off()

    def switch_on(self) -> None:
        """Servos and world are there; does nothing when they are.

        Raises:
            DeviceError: an emulated arm of that id runs already, or it can't be started.
        """
        if self._emulator is None or self._emulator.poll() is not None:
            self.switch_off()
            self._emulator = self._start_emulator()

    @contextlib.contextmanager
    def powered(self) -> Iterator[None]:
        """Servos and world are there, nobody is connected: what plugging in is to a real arm."""
        self.switch_on()
        try:
            yield
        finally:
            self.switch_off()

    def success(self, observation: dict[str, Any]) -> bool | None:
        """Whether the goal is reached (``first_order``), or the cube is up (``mujoco``)."""
        try:
            if self._judge is None:
                self._judge = make_judge(self.folder, self.sim.plant)
            return self._judge.success()
        except DeviceError:
            return None

    def command(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Break or mend something: see ``robots.emulator.faults``.

        Raises:
            DeviceError: the emulated arm isn't there.
            ConfigError: there is no such fault.
        """
        with contextlib.closing(EmulatedArm(self.folder)) as arm:
            return arm.do(do, **arguments)

    def _start_emulator(self) -> subprocess.Popen[str]:
        words = [
            f"--folder={self.folder}",
            f"--seed={self.sim.seed}",
            f"--goal-period-s={self.sim.goal_period_s}",
            f"--plant={self.sim.plant}",
        ]
        if self.sim.faults:
            words.append(f"--faults={self.sim.faults}")
        process = subprocess.Popen(
            [sys.executable, "-m", "robots.emulator.bus", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        said = json.loads(process.stdout.readline() or "{}")
        if "port" in said:
            return process
        status = process.wait()
        reason = said.get("error") or f"it exited with {status}"
        if status == IN_USE:
            reason = "one of that id runs already"
        raise DeviceError(
            f"the emulated arm can't be started: {reason}", field="--robot.id", value=self.id
        )

    def switch_off(self) -> None:
        """The power is cut: the emulator ends."""
        if self._judge is not None:
            self._judge.close()
            self._judge = None
        process, self._emulator = self._emulator, None
        if process is None:
            return
        # The end of its stdin is the end of the emulator.
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait()


def _aimed(camera: Any, robot_id: str) -> Any:
    """The camera of an emulated arm looks at that arm unless told otherwise."""
    if isinstance(camera, SO101SceneConfig | SO101RenderedConfig) and not camera.robot_id:
        return dataclasses.replace(camera, robot_id=robot_id)
    return camera


def port_of(robot_id: str) -> Path:
    """The port of a running emulated arm, for ``--robot.type=so101_follower --robot.port=…``."""
    return folder(robot_id) / "port"
