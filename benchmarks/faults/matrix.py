"""The fault matrix as data: every row."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.fault import NONE, Command, Fault
from benchmarks.faults.fault import do as _do


def _without(*ids: int) -> str:
    """Torque of all but these."""
    return "".join("0" if i in ids else "1" for i in range(1, 7))


def _line(name: str, title: str, do: str, lasts_s: float = 2.0, **arguments: Any) -> Fault:
    """Answers that the driver's retries and a skipped tick get over."""
    return Fault(
        name=name,
        title=title,
        begin=(_do(do, **arguments),),
        end=(_do(do, **arguments | {"count": 0}),),
        lasts_s=lasts_s,
    )


def _dead(name: str, title: str, *ids: int) -> Fault:
    return Fault(
        name=name,
        title=title,
        begin=tuple(_do("dead", id=i) for i in ids),
        end=tuple(_do("dead", id=i, dead=False) for i in ids),
        lasts_s=2.0,
        state="degraded",
        does="holds",
        events=("arm_degraded",),
        after=("arm_back",),
        torque=_without(*ids),
    )


def _camera(name: str, title: str, fault: str) -> Fault:
    return Fault(
        name=name,
        title=title,
        begin=(_do("camera", fault=fault),),
        end=(_do("camera", fault="ok"),),
        lasts_s=1.4,
        events=("camera_fault",),
        after=("camera_back",),
    )


def _lost(name: str, title: str, lasts_s: float, **fields: Any) -> Fault:
    given: dict[str, Any] = {
        "begin": (_do("unplug"),),
        "end": (_do("replug"),),
        "state": "lost",
        "does": "holds",
        "events": ("arm_lost",),
        "after": ("arm_back",),
    }
    return Fault(name=name, title=title, lasts_s=lasts_s, **given | fields)


def _stop(name: str, title: str, begin: Command, *end: Command, **fields: Any) -> Fault:
    return Fault(
        name=name,
        title=title,
        begin=(begin,),
        end=end,
        state="stopped",
        does="holds",
        events=("stopped",),
        after=("cleared",),
        clear=True,
        **fields,
    )


_OBSTACLE = tuple(_do("block", id=i) for i in (1, 2, 3))
_NO_OBSTACLE = tuple(_do("block", id=i, on=False) for i in (1, 2, 3))


def _complaint(name: str, title: str, kind: str, begin: Command, end: Command) -> Fault:
    """A servo complains and the arm holds."""
    return Fault(
        name=name,
        title=title,
        begin=(begin,),
        end=(end,),
        lasts_s=1.5,
        state="holding",
        does="holds",
        events=(f"servo_{kind}", "mode"),
        after=("servo_ok",),
    )


LINE = (
    _line("lost_answer", "one answer is lost", "drop", lasts_s=0.7, count=1),
    _line("lost_5", "5 % of the answers are lost", "drop", share=0.05),
    Fault(
        name="lost_30",
        title="30 % of the answers are lost",
        begin=(_do("drop", share=0.3),),
        end=(_do("drop", count=0),),
        lasts_s=2.0,
        state="degraded",
        does="goes on",
        events=("arm_degraded",),
    ),
    _line(
        "lost_instructions",
        "30 % of the instructions are lost",
        "drop",
        what="instructions",
        share=0.3,
    ),
    _line("late_answer", "one answer comes after 70 ms", "delay", lasts_s=0.7, ms=70, count=1),
    _line("slow_answers", "every answer comes after 10 ms", "delay", ms=10),
    Fault(
        name="late_answers",
        title="every answer comes after 70 ms",
        begin=(_do("delay", ms=70),),
        end=(_do("delay", count=0),),
        lasts_s=2.0,
        state="degraded",
        does="holds",
        events=("arm_degraded",),
        after=("arm_back",),
    ),
    _line("bad_checksum", "5 %: a flipped bit", "corrupt", how="checksum", share=0.05),
    _line("bad_end", "5 %: cut short", "corrupt", how="truncate", share=0.05),
    _line("bad_begin", "5 %: noise before", "corrupt", how="prefix", share=0.05),
    _line("bad_id", "5 %: another servo's id", "corrupt", how="id", share=0.05),
    _line("bad_length", "5 %: a wrong length", "corrupt", how="length", share=0.05),
    Fault(
        name="babble",
        title="noise floods the line, 2 s",
        begin=(_do("babble", for_s=2.0),),
        lasts_s=2.0,
    ),
    Fault(
        name="rival",
        title="another program reads the port",
        root=True,
        begin=(_do("rival"),),
        end=(_do("rival", on=False),),
        lasts_s=1.5,
        state="degraded|lost",
        does="holds",
        events=("arm_degraded|arm_lost",),
        after=("arm_back",),
    ),
    _lost("unplugged", "USB unplugged, 1 s", 1.0),
    _lost("unplugged_long", "USB unplugged, 4 s", 4.0),
    _lost(
        "hub",
        "the USB hub is off: arm and camera, 2 s",
        2.0,
        begin=(_do("unplug"), _do("camera", fault="unplug")),
        end=(_do("camera", fault="ok"), _do("replug")),
    ),
    _lost(
        "another_arm",
        "unplugged, another arm plugged in, then the right one",
        2.0,
        begin=(
            _do("unplug"),
            _do("set", id=2, register="Min_Position_Limit", value=900),
            _do("replug"),
        ),
        end=(
            _do("unplug"),
            _do("set", id=2, register="Min_Position_Limit", value=850),
            _do("replug"),
        ),
        events=("arm_lost", "arm_refused"),
    ),
)

SERVOS = (
    _dead("dead", "a servo is dead (elbow)", 3),
    _dead("dead_gripper", "the gripper's servo is dead", 6),
    _dead("dead_two", "two servos are dead", 2, 4),
    Fault(
        name="cut_line",
        title="a servo's data line is cut: silent, but it holds",
        begin=(_do("dead", id=3, limp=False),),
        end=(_do("dead", id=3, limp=False, dead=False),),
        lasts_s=2.0,
        state="degraded",
        does="holds",
        events=("arm_degraded",),
        after=("arm_back",),
    ),
    Fault(
        name="brownout",
        title="all servos lose their power, 1 s",
        begin=(_do("brownout", for_s=1.0),),
        state="degraded|lost",
        does="takes hold",
        events=("arm_degraded|arm_lost",),
        after=("arm_back",),
        torque=NONE,
    ),
    Fault(
        name="brownout_long",
        title="all servos lose their power, 3 s",
        begin=(_do("brownout", for_s=3.0),),
        lasts_s=3.0,
        state="lost",
        does="takes hold",
        events=("arm_lost",),
        after=("arm_back",),
        torque=NONE,
    ),
    Fault(
        name="obstacle",
        title="an obstacle, for a moment",
        begin=_OBSTACLE,
        end=_NO_OBSTACLE,
        state="yielding",
        does="yields",
        events=("servo_overload", "mode"),
        after=("servo_ok",),
    ),
    Fault(
        name="gripper_presses",
        title="the gripper is blocked",
        begin=(_do("block", id=6),),
        end=(_do("block", id=6, on=False),),
        lasts_s=1.0,
        state="yielding",
        does="yields",
        events=("servo_overload", "mode"),
        after=("servo_ok",),
    ),
    Fault(
        name="obstacle_stays",
        title="an obstacle, again and again",
        begin=_OBSTACLE,
        end=_NO_OBSTACLE,
        lasts_s=8.0,
        state="stopped",
        does="holds",
        events=("servo_overload", "stopped"),
        after=("cleared",),
        clear=True,
    ),
    Fault(
        name="obstacle_idle",
        title="an obstacle while nothing drives",
        # A hand moves the joint away from its goal, and something keeps it there.
        begin=(_do("block", id=2), _do("push", id=2, to=1250)),
        end=(_do("block", id=2, on=False),),
        state="yielding",
        does="yields",
        events=("servo_overload", "mode"),
        after=("servo_ok",),
        source="hold",
        theirs=False,
    ),
    Fault(
        name="reset",
        title="one servo loses its power for a moment",
        begin=(_do("reset", id=2),),
        state="yielding",
        does="takes hold",
        events=("servo_limp", "mode"),
        after=("servo_ok",),
        torque=_without(2),
    ),
    Fault(
        name="blink",
        title="all servos lose their power, 0.08 s",
        begin=(_do("brownout", for_s=0.08),),
        state="yielding",
        does="takes hold",
        events=("servo_limp",),
        torque=NONE,
    ),
    Fault(
        name="warm",
        title="a servo at 61 °C",
        begin=(_do("heat", id=3, celsius=61),),
        end=(_do("heat", id=3, celsius=40),),
        events=("servo_warm",),
        after=("servo_ok",),
    ),
    Fault(
        name="hot",
        title="a servo at 67 °C, then 40",
        begin=(_do("heat", id=3, celsius=67),),
        end=(_do("heat", id=3, celsius=40),),
        lasts_s=3.0,
        state="resting",
        does="rests",
        events=("servo_hot", "mode"),
        after=("servo_ok",),
        torque=NONE,
    ),
    Fault(
        name="cut_out",
        title="a servo at 72 °C lets go by itself, then 40",
        begin=(_do("heat", id=3, celsius=72),),
        end=(_do("heat", id=3, celsius=40),),
        lasts_s=2.0,
        state="holding",
        does="holds",
        events=("servo_cut_out", "mode"),
        after=("servo_ok",),
        torque=_without(3),
    ),
    _complaint(
        "low_voltage", "3.5 V", "voltage", _do("voltage", volts=3.5), _do("voltage", volts=7.4)
    ),
    _complaint(
        "high_voltage", "8.6 V", "voltage", _do("voltage", volts=8.6), _do("voltage", volts=7.4)
    ),
    _complaint(
        "sensor",
        "a joint's position sensor fails",
        "sensor",
        _do("blind", id=3),
        _do("blind", id=3, on=False),
    ),
    _line("glitch", "a joint is read 1,000 ticks off, once", "glitch", 0.7, id=3, ticks=1000),
    _line("glitches", "the same, ten times", "glitch", 1.5, id=3, ticks=1000, count=10),
)

AROUND = (
    _camera("camera_stalls", "the camera stalls", "stall"),
    _camera("camera_freezes", "the camera freezes: new times, the same pixels", "freeze"),
    _camera("camera_black", "the camera is black", "black"),
    _camera("camera_unplugged", "the camera is unplugged", "unplug"),
    _stop("stop_order", "an operator's stop", _do("order", name="stop")),
    _stop("stop_signal", "SIGUSR1", _do("signal", number=10)),
    _stop("stop_file", "the stop file", _do("stop_file"), _do("stop_file", on=False)),
    _stop(
        "stop_idle",
        "stop and clear while nothing drives",
        _do("order", name="stop"),
        source="hold",
        theirs=False,
    ),
    Fault(
        name="nonsense",
        title="another client talks nonsense on the control socket",
        begin=(_do("nonsense"),),
        end=(_do("nonsense"),),
        theirs=False,
    ),
    Fault(
        name="stop_while_lost",
        title="an operator's stop while USB is unplugged",
        begin=(_do("unplug"), _do("order", name="stop")),
        end=(_do("replug"),),
        lasts_s=1.5,
        state="stopped",
        does="holds",
        events=("arm_lost", "stopped"),
        after=("arm_back", "cleared"),
        clear=True,
    ),
)

FAULTS: tuple[Fault, ...] = (*LINE, *SERVOS, *AROUND)


def named(name: str) -> Fault:
    """The row of that name.

    Raises:
        KeyError: there is none.
    """
    return {fault.name: fault for fault in FAULTS}[name]
