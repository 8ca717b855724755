"""What the servos say about themselves, and what to make of it. Knows no bus and no clock.

One register of all servos is read per poll, in turn (``ORDER``); a finding begins when two polls in
a row agree on it, and ends when two agree that it is over: an answer that came late can pass for
that of another question once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag

ORDER = (
    "Status",
    "Present_Temperature",
    "Status",
    "Torque_Enable",
    "Status",
    "Present_Voltage",
    "Status",
    "Present_Load",
)

HOT_C = 65
"""The arm rests from here on. The servo lets go by itself at Max_Temperature_Limit (70 °C ex
works), which would drop what it carries."""

COOL_C = 55
WARM_C = 60
_AGREE = 2


class Alarm(IntFlag):
    """Bits of an STS3215's Status register (Feetech's memory table, address 65)."""

    VOLTAGE = 1
    SENSOR = 2
    TEMPERATURE = 4
    CURRENT = 8
    OVERLOAD = 32


@dataclass(frozen=True)
class Finding:
    """Something is wrong with some joints.

    Args:
        kind: ``overload``, ``hot``, ``cut_out`` (too hot, let go by itself), ``voltage``,
            ``sensor`` or ``limp`` (torque is off although it was switched on).
        joints: Their names.
        detail: With figures.
    """

    kind: str
    joints: tuple[str, ...]
    detail: str


class Health:
    """Readings of one arm's servos.

    Args:
        joints: Names.
    """

    def __init__(self, joints: tuple[str, ...]) -> None:
        self.joints = joints
        self.readings: dict[str, dict[str, int]] = {}
        self._seen: dict[tuple[str, str], bool] = {}
        self._against: dict[tuple[str, str], int] = {}
        self._read: frozenset[str] = frozenset()

    def note(self, register: str, values: Mapping[str, float]) -> None:
        """Take what was read of a register: joint → raw value (°C, 0.1 V, 0.1 % of the torque)."""
        self.readings.setdefault(register, {}).update(
            {joint: int(value) for joint, value in values.items()}
        )
        self._read = frozenset(values)
        if register == "Status":
            cut_out = self._sure(Alarm.TEMPERATURE.name)
            for alarm in Alarm:
                self._count(alarm.name or "", lambda j, a=alarm: bool(self._get(register, j) & a))
            # Temperatures are read less often: the one that made it let go says nothing once it
            # has its torque back, and would let go of all the others.
            for joint in {*cut_out} - {*self._sure(Alarm.TEMPERATURE.name)}:
                self._forget(joint, "hot")
        elif register == "Present_Temperature":
            self._count("hot", lambda j: self._get(register, j) >= HOT_C)
            self._count("warm", lambda j: self._get(register, j) >= WARM_C)
            self._count("not cool", lambda j: self._get(register, j) > COOL_C)
        elif register == "Torque_Enable":
            self._count("off", lambda j: not self._get(register, j))

    def forget(self, *, keep_heat: bool = False) -> None:
        """The arm was away: nothing that was read counts, but that a resting arm was hot."""
        kept = ("hot", "warm", "not cool") if keep_heat else ()
        self._seen = {k: sure for k, sure in self._seen.items() if k[1] in kept}
        self._against.clear()
        self.readings.clear()

    def expect_torque(self) -> None:
        """Torque was just switched on: what was read before says nothing."""
        for joint in self.joints:
            self._forget(joint, "off")

    @property
    def cool(self) -> bool:
        """Whether a rest may end."""
        return not self._sure("not cool")

    def findings(self) -> list[Finding]:
        """What is wrong now, worst first."""
        cut_out = self._sure(Alarm.TEMPERATURE.name)
        found = [
            Finding("sensor", self._sure(Alarm.SENSOR.name), "the position sensor fails"),
            Finding("cut_out", cut_out, self._celsius(cut_out)),
            Finding("hot", self._sure("hot"), self._celsius(self._sure("hot"))),
            Finding("voltage", self._sure(Alarm.VOLTAGE.name), self._volts()),
            Finding("overload", self._overloaded(), "presses against something"),
            Finding("limp", self._limp(cut_out), "torque is off: the servo lost its power"),
        ]
        return [finding for finding in found if finding.joints]

    def warm(self) -> tuple[str, ...]:
        return self._sure("warm")

    def to_json(self) -> dict[str, dict[str, int]]:
        """The newest readings, by register and joint."""
        return self.readings

    # ---------------------------------------------------------------------------------------

    def _get(self, register: str, joint: str) -> int:
        return self.readings.get(register, {}).get(joint, 0)

    def _count(self, what: str, holds: object) -> None:
        assert callable(holds)
        for joint in self._read:
            key = joint, what
            if bool(holds(joint)) == self._seen.get(key, False):
                self._against[key] = 0
                continue
            self._against[key] = self._against.get(key, 0) + 1
            if self._against[key] >= _AGREE:
                self._seen[key], self._against[key] = bool(holds(joint)), 0

    def _forget(self, joint: str, what: str) -> None:
        self._seen[joint, what], self._against[joint, what] = False, 0

    def _sure(self, what: str | None) -> tuple[str, ...]:
        return tuple(j for j in self.joints if self._seen.get((j, what or ""), False))

    def _overloaded(self) -> tuple[str, ...]:
        pressed = {*self._sure(Alarm.OVERLOAD.name), *self._sure(Alarm.CURRENT.name)}
        return tuple(j for j in self.joints if j in pressed)

    def _limp(self, cut_out: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(j for j in self._sure("off") if j not in cut_out)

    def _celsius(self, joints: tuple[str, ...]) -> str:
        read = (f"{j} {self._get('Present_Temperature', j)} °C" for j in joints)
        return ", ".join(read)

    def _volts(self) -> str:
        volts = [v / 10 for v in self.readings.get("Present_Voltage", {}).values()]
        return f"{min(volts):.1f} V at the servos" if volts else "outside the servos' limits"
