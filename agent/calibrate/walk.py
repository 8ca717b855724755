"""The walk through a calibration: limp, middle, ranges, compare, ask, write.

LeRobot's own steps by LeRobot's own bus methods, with what its ``calibrate`` lacks: a joint that
was not moved is named and may still be moved, the file before is kept, nothing is written without
a question, and breaking off leaves servos and file as they were.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from lerobot.motors import MotorCalibration
from lerobot.motors.feetech import OperatingMode
from rich.console import Console
from rich.live import Live

from agent.calibrate.answers import Answers
from agent.calibrate.ranges import Ranges
from agent.calibrate.session import limp, opened, restored_on_failure, uninterrupted
from agent.calibrate.tables import changes_table, ranges_line, ranges_table
from robots.arm import calibration, registers
from robots.arm.calibration import FULL_TURN, Calibration

_LOOK_S = 0.02
"""As LeRobot's: fast enough for a hand."""

_LINE_EVERY_S = 0.5


class Declined(Exception):
    """The person doesn't want it written."""


class Walk:
    """One arm's calibration.

    Args:
        arm: An SO follower, not connected.
        name: What to call it.
        console: Where to tell.
        answers: What the person says.
    """

    def __init__(self, arm: Any, name: str, console: Console, answers: Answers) -> None:
        self._arm = arm
        self._bus = arm.bus
        self._name = name
        self._console = console
        self._answers = answers

    def run(self) -> bool:
        """Calibrate; whether it was written.

        Raises:
            ConfigError: nobody answers. Nothing was written.
            DeviceError: the arm fails. The servos got back what they had, as far as they answer.
        """
        self._console.rule(f"Calibration of {self._name}")
        self._answers.ask(
            f"The joints of {self._name} go limp now: hold it, or lay it down. ENTER when you do."
        )
        try:
            with opened(self._bus), limp(self._bus), restored_on_failure(self._bus):
                self._prepare()
                new = self._measure()
                self._console.print(
                    changes_table(self._arm.calibration, new, "Before → now, in ticks")
                )
                if not self._answers.agrees(
                    f"Write this to the servos and to {self._arm.calibration_fpath}?"
                ):
                    raise Declined
                self._commit(new)
        except Declined:
            self._console.print("Nothing was written; the servos have what they had before.")
            return False
        return True

    def _prepare(self) -> None:
        with registers.bus_errors("configuring the servos", self._bus.port):
            registers.persistently(self._bus.configure_motors)
            for motor in self._bus.motors:
                self._bus.write("Operating_Mode", motor, OperatingMode.POSITION.value, num_retry=2)

    def _measure(self) -> Calibration:
        while True:
            self._answers.ask(
                f"Move every joint of {self._name} to the middle of its range. ENTER when it is."
            )
            with registers.bus_errors("setting the middle", self._bus.port):
                offsets = registers.persistently(self._bus.set_half_turn_homings)
            ranges = self._ranges()
            if ranges is not None:
                break
        new = {}
        for motor, described in self._bus.motors.items():
            low, high = ranges.calibrated(motor)
            new[motor] = MotorCalibration(
                id=described.id,
                drive_mode=0,
                homing_offset=int(offsets[motor]),
                range_min=low,
                range_max=high,
            )
        calibration.check(new)
        return new

    def _ranges(self) -> Ranges | None:
        """Follow the joints until all have moved enough; ``None``: begin again at the middle."""
        ranges = Ranges()
        excused = False
        while True:
            self._follow(ranges)
            if wrapped := ranges.wrapped():
                self._complain(wrapped)
                self._console.print("Begin again with the middle pose.")
                return None
            small = ranges.too_small()
            if not small:
                return ranges
            self._complain(small)
            if set(small) == {FULL_TURN}:
                # Its range is a whole turn whatever was measured: once told, it may stay.
                if excused:
                    return ranges
                excused = True
                self._console.print("Turn it and press ENTER; ENTER alone leaves it as it is.")
            else:
                self._console.print("Go on moving; ENTER when done.")

    def _follow(self, ranges: Ranges) -> None:
        with self._shown(ranges) as show:
            while self._answers.said() is None:
                with registers.bus_errors("reading the positions", self._bus.port):
                    grew = ranges.include(
                        self._bus.sync_read("Present_Position", normalize=False, num_retry=5)
                    )
                show(grew)
                time.sleep(_LOOK_S)

    @contextlib.contextmanager
    def _shown(self, ranges: Ranges) -> Iterator[Any]:
        """A table that is redrawn, or lines of what changed where there is no terminal."""
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False) as live:
                yield lambda grew: live.update(ranges_table(ranges), refresh=True)
            return
        self._console.print("Move every joint through its whole range; ENTER when done.")
        changed: set[str] = set()
        told = time.monotonic()

        def show(grew: set[str]) -> None:
            nonlocal told
            changed.update(grew)
            if changed and time.monotonic() - told >= _LINE_EVERY_S:
                self._tell(ranges_line(ranges, changed))
                changed.clear()
                told = time.monotonic()

        yield show

    def _complain(self, complaints: dict[str, str]) -> None:
        for text in complaints.values():
            self._console.print(f"[yellow]{text}[/]", highlight=False)

    def _tell(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _commit(self, new: Calibration) -> None:
        path = self._arm.calibration_fpath
        # The servos first: they may refuse. Replacing the file is one step that hardly can.
        with uninterrupted():
            calibration.write(self._bus, new)
            kept = calibration.save_file(path, new)
        self._arm.calibration = new
        self._tell(f"Written to the servos, read back, and saved as {path}.")
        if kept is not None:
            self._tell(f"The file before: {kept}")
