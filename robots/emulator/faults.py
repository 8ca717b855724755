"""The fault script of an emulated arm: what can be broken and mended, by whom, and when.

A command is a mapping with ``do`` and its arguments; ``for_s`` ends it by itself where that makes
sense. Commands arrive on a socket while the arm runs (``robots.emulator.client``), or from a script
file: a list of commands, each with ``at_s`` (seconds after the start).

=============  ==============================================================================
``drop``       answers get lost: ``share``, ``id``, ``count``, ``for_s``; or ``what``:
               instructions, both (an instruction that is lost is so for all servos, or for ``id``)
``delay``      answers come late: ``ms``, and ``share``, ``id``, ``count``, ``for_s``
``corrupt``    answers are damaged: ``how`` (see ``trouble.DAMAGE``), and as for ``drop``
``babble``     noise floods the line: ``for_s``; it spoils a ``share`` of the instructions (0.5),
               unless ``what`` says that only answers meet it; or only instructions
``dead``       a servo is silent and limp: ``id``, ``dead`` (true or false), ``for_s``; with
               ``limp`` false only its data line is cut: it keeps its goal and holds
``unplug``     the port disappears: ``for_s``
``replug``     it is back
``brownout``   power is away from all servos: ``for_s``
``reset``      one servo loses its power for a moment: ``id``
``block``      an obstacle holds a joint: ``id``, ``on``, ``for_s``
``heat``       ``id``, ``celsius``
``voltage``    ``volts``, ``id``
``blind``      a joint's position sensor fails: ``id``, ``on``, ``for_s``
``glitch``     a joint's position is read ``ticks`` off ``count`` times: ``id``
``push``       a hand moves a free joint: ``id``, ``to`` (ticks, as Present_Position)
``set``        any register: ``id``, ``register``, ``value``
``camera``     ``fault`` (stall, freeze, black, unplug, ok), ``view`` (* for all), ``for_s``
``cube``       MuJoCo's cube lies elsewhere: ``seed``
``mend``       everything is well again; servos that were reset stay so
``account``    answers with what the plant saw, the servos' registers (``torque``) and whether
               they pull (``pulls``: a dead one doesn't), their status (``alarms``); ``clear``
               begins anew
=============  ==============================================================================
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from robots.emulator.camera_faults import FAULTS, write_faults
from robots.emulator.trouble import DAMAGE, DROWNED, WHAT, Rule
from robots.errors import ConfigError

if TYPE_CHECKING:
    from robots.emulator.bus import Emulator

Command = Mapping[str, Any]


class Faults:
    """Carries out commands, at once or at their time.

    Args:
        arm: The emulator.
        folder: Where camera faults are written.
    """

    def __init__(self, arm: Emulator, folder: Path) -> None:
        self._arm = arm
        self._folder = folder
        self._cameras: dict[str, str] = {}
        self._due: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = itertools.count()
        write_faults(folder, {})

    def schedule(self, script: list[Command], start_s: float) -> None:
        """Take a script.

        Raises:
            ConfigError: a command that there is not, or one without its time.
        """
        for command in script:
            if not isinstance(command.get("at_s"), int | float):
                raise ConfigError("every command needs its time", field="at_s", value=dict(command))
            self._check(command)
            self._at(start_s + command["at_s"], partial(self._now, command))

    def run_due(self, now_s: float) -> None:
        while self._due and self._due[0][0] <= now_s:
            heapq.heappop(self._due)[2]()

    def carry_out(self, command: Command, now_s: float) -> dict[str, Any]:
        """Do it; what there is to say about it.

        Raises:
            ConfigError: no such command, servo or argument.
        """
        self._check(command)
        try:
            result = getattr(self, f"_{command['do']}")(command, now_s)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"a wrong or missing argument: {error}", field="do", value=dict(command)
            ) from error
        return result or {}

    def _check(self, command: Command) -> None:
        if not hasattr(self, f"_{command.get('do')}") or command.get("do") not in COMMANDS:
            raise ConfigError(
                "there is no such fault",
                field="do",
                value=command.get("do"),
                remedy="One of: " + ", ".join(COMMANDS),
            )
        servo_id = command.get("id")
        if servo_id is not None and servo_id not in self._arm.servos:
            raise ConfigError("there is no such servo", field="id", value=servo_id)

    def _now(self, command: Command) -> None:
        self.carry_out(command, self._arm.now)

    def _at(self, when_s: float, action: Callable[[], Any]) -> None:
        heapq.heappush(self._due, (when_s, next(self._order), action))

    def _afterwards(self, command: Command, now_s: float, action: Callable[[], Any]) -> None:
        if "for_s" in command:
            self._at(now_s + command["for_s"], action)

    def _rule(
        self, command: Command, now_s: float, *, share: float = 1.0, what: str = "answers"
    ) -> Rule:
        what = command.get("what", what)
        if what not in WHAT:
            raise ValueError(f"what={what}; one of {', '.join(WHAT)}")
        return Rule(
            share=command.get("share", share),
            ids=(command["id"],) if "id" in command else (),
            until_s=now_s + command.get("for_s", math.inf),
            count=command.get("count", math.inf),
            delay_s=command.get("ms", 0.0) / 1e3,
            how=command.get("how", ""),
            what=what,
        )

    # The line ------------------------------------------------------------------------------

    def _drop(self, command: Command, now_s: float) -> None:
        self._arm.trouble.drop = self._rule(command, now_s)

    def _delay(self, command: Command, now_s: float) -> None:
        self._arm.trouble.delay = self._rule(command, now_s)

    def _corrupt(self, command: Command, now_s: float) -> None:
        if command.get("how", "") not in ("", *DAMAGE):
            raise ValueError(f"how={command['how']}; one of {', '.join(DAMAGE)}")
        self._arm.trouble.corrupt = self._rule(command, now_s)

    def _babble(self, command: Command, now_s: float) -> None:
        command = {"for_s": command["for_s"], **command}
        self._arm.trouble.noise = self._rule(command, now_s, share=DROWNED, what="both")

    def _unplug(self, command: Command, now_s: float) -> None:
        self._arm.line.unplug()
        self._afterwards(command, now_s, self._arm.line.plug)

    def _replug(self, command: Command, now_s: float) -> None:
        self._arm.line.plug()

    # Servos --------------------------------------------------------------------------------

    def _dead(self, command: Command, now_s: float) -> None:
        servo = self._arm.servos[command["id"]]
        fault = "dead" if command.get("limp", True) else "cut_off"
        setattr(servo, fault, command.get("dead", True))
        self._afterwards(command, now_s, lambda: setattr(servo, fault, False))

    def _brownout(self, command: Command, now_s: float) -> None:
        def power_up() -> None:
            for servo in self._arm.servos.values():
                servo.dead = False
                servo.power_cycle()

        for servo in self._arm.servos.values():
            servo.dead = True
        self._at(now_s + command.get("for_s", 0.5), power_up)

    def _reset(self, command: Command, now_s: float) -> None:
        self._arm.servos[command["id"]].power_cycle()

    def _block(self, command: Command, now_s: float) -> None:
        blocked = self._arm.blocked
        if command.get("on", True):
            blocked.add(command["id"])
            self._afterwards(command, now_s, lambda: blocked.discard(command["id"]))
        else:
            blocked.discard(command["id"])

    def _heat(self, command: Command, now_s: float) -> None:
        self._arm.servos[command["id"]].set("Present_Temperature", command["celsius"])

    def _voltage(self, command: Command, now_s: float) -> None:
        ids = [command["id"]] if "id" in command else [*self._arm.servos]
        for servo_id in ids:
            self._arm.servos[servo_id].set("Present_Voltage", round(command["volts"] * 10))

    def _blind(self, command: Command, now_s: float) -> None:
        servo = self._arm.servos[command["id"]]
        servo.blind = command.get("on", True)
        self._afterwards(command, now_s, lambda: setattr(servo, "blind", False))

    def _glitch(self, command: Command, now_s: float) -> None:
        servo = self._arm.servos[command["id"]]
        servo.glitch_ticks, servo.glitches = command["ticks"], command.get("count", 1)

    def _push(self, command: Command, now_s: float) -> None:
        self._arm.push(command["id"], command["to"])

    def _set(self, command: Command, now_s: float) -> None:
        servo = self._arm.servos[command["id"]]
        servo.set(command["register"], command["value"])
        servo.store()

    # The rest ------------------------------------------------------------------------------

    def _camera(self, command: Command, now_s: float) -> None:
        fault, view = command["fault"], command.get("view", "*")
        if fault not in FAULTS:
            raise ValueError(f"fault={fault}; one of {', '.join(FAULTS)}")

        def put(what: str) -> None:
            self._cameras[view] = what
            write_faults(self._folder, self._cameras)

        put(fault)
        self._afterwards(command, now_s, lambda: put("ok"))

    def _cube(self, command: Command, now_s: float) -> None:
        self._arm.lay_cube(command["seed"])

    def _mend(self, command: Command, now_s: float) -> None:
        self._due.clear()
        self._arm.mend()
        self._cameras.clear()
        write_faults(self._folder, {})

    def _account(self, command: Command, now_s: float) -> dict[str, Any]:
        account = self._arm.account.to_json()
        if command.get("clear"):
            self._arm.account.clear()
        torque = {i: bool(s.get("Torque_Enable")) for i, s in self._arm.servos.items()}
        pulls = {i: s.pulls for i, s in self._arm.servos.items()}
        alarms = {i: int(s.alarms) for i, s in self._arm.servos.items()}
        return account | {"torque": torque, "pulls": pulls, "alarms": alarms}


COMMANDS = tuple(line.split("``")[1] for line in (__doc__ or "").splitlines() if line[:2] == "``")


def read_script(path: Path) -> list[Command]:
    """A script file, YAML or JSON.

    Raises:
        ConfigError: it can't be read or isn't a list.
    """
    try:
        script = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"can't be read: {error}", field="--robot.faults", value=path) from error
    if not isinstance(script, list) or not all(isinstance(c, dict) for c in script):
        raise ConfigError(
            "must be a list of commands",
            field="--robot.faults",
            value=path,
            remedy="See robots/emulator/faults.py",
        )
    return script
