"""File and servos: compared, and the one written to the other."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from agent.calibrate.answers import Answers
from agent.calibrate.session import limp, opened, restored_on_failure, uninterrupted
from agent.calibrate.tables import differences_table
from robots.arm import calibration
from robots.arm.calibration import Difference


def compare(arm: Any) -> list[Difference]:
    """Where the servos of an arm differ from its file; reads only, torque stays as it is.

    Raises:
        ConfigError: there is no file, or it is none.
        DeviceError: a servo doesn't answer.
    """
    wanted = calibration.load_file(arm.calibration_fpath)
    with opened(arm.bus, handshake=False):
        return calibration.differences(arm.bus, wanted)


def write_file(arm: Any, name: str, console: Console, answers: Answers | None) -> bool:
    """Write the file to the servos; whether they have it now.

    Args:
        arm: An SO follower, not connected.
        name: What to call it.
        console: Where to tell.
        answers: Whom to ask; ``None``: nobody.

    Raises:
        ConfigError: there is no file, it is implausible or of another arm, or nobody answers.
        DeviceError: the arm fails. The servos got back what they had, as far as they answer.
    """
    path = arm.calibration_fpath
    wanted = calibration.load_file(path)
    with opened(arm.bus):
        found = calibration.differences(arm.bus, wanted)
        if not found:
            console.print(f"The servos of {name} have what {path} says.", soft_wrap=True)
            return True
        console.print(differences_table(found, f"{name}: {path}"))
        if answers is not None and not answers.agrees(
            f"{name} goes limp: hold it. Write the file to its servos?"
        ):
            console.print("Nothing was written.")
            return False
        with limp(arm.bus), restored_on_failure(arm.bus), uninterrupted():
            calibration.write(arm.bus, wanted)
    console.print(f"Written to the servos of {name} and read back.", soft_wrap=True)
    return True
