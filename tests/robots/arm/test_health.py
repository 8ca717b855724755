"""What servos say about themselves, and what is made of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from robots.arm.health import COOL_C, HOT_C, ORDER, WARM_C, Alarm, Finding, Health
from robots.emulator.servo import Alarm as EmulatedAlarm

JOINTS = ("lift", "grip")


def health(*readings: tuple[str, dict[str, int]]) -> Health:
    h = Health(JOINTS)
    for register, values in readings:
        h.note(register, values)
    return h


def status(lift: int = 0, grip: int = 0) -> tuple[str, dict[str, int]]:
    return "Status", {"lift": lift, "grip": grip}


def celsius(lift: int, grip: int = 30) -> tuple[str, dict[str, int]]:
    return "Present_Temperature", {"lift": lift, "grip": grip}


def kinds(h: Health) -> dict[str, tuple[str, ...]]:
    return {f.kind: f.joints for f in h.findings()}


def test_an_alarm_counts_when_two_polls_agree() -> None:
    assert kinds(health(status(lift=32))) == {}
    assert kinds(health(status(lift=32), status(lift=32))) == {"overload": ("lift",)}
    assert kinds(health(status(lift=32), status(), status(lift=32))) == {}


def test_and_is_over_when_two_agree_on_that() -> None:
    h = health(status(lift=32), status(lift=32), status(), status(lift=32), status())
    assert kinds(h) == {"overload": ("lift",)}
    h.note(*status())
    assert kinds(h) == {}


def test_current_and_overload_are_both_pressing_on_something() -> None:
    h = health(*[status(lift=int(Alarm.CURRENT), grip=int(Alarm.OVERLOAD))] * 2)
    assert kinds(h) == {"overload": JOINTS}


def test_warm_hot_and_cool_are_apart() -> None:
    warm = health(*[celsius(WARM_C)] * 2)
    assert warm.warm() == ("lift",)
    assert kinds(warm) == {}
    hot = health(*[celsius(HOT_C)] * 2)
    assert hot.findings() == [Finding("hot", ("lift",), f"lift {HOT_C} °C")]
    hot.note(*celsius(COOL_C + 1))
    assert not hot.cool
    hot.note(*celsius(COOL_C))
    assert not hot.cool, "a single reading can be that of another register"
    hot.note(*celsius(COOL_C))
    assert hot.cool


def test_torque_that_is_off_is_a_servo_that_lost_its_power_unless_it_cut_out() -> None:
    off = ("Torque_Enable", {"lift": 0, "grip": 1})
    assert kinds(health(off, off)) == {"limp": ("lift",)}
    cut = health(off, off, *[status(lift=4)] * 2)
    assert kinds(cut) == {"cut_out": ("lift",)}
    h = health(off, off)
    h.expect_torque()
    assert kinds(h) == {}, "what was read before torque was switched on says nothing"


def test_a_servo_that_has_its_torque_back_is_not_hot_by_what_was_read_before() -> None:
    h = health(*[celsius(72)] * 2, *[status(lift=4)] * 2)
    assert set(kinds(h)) == {"cut_out", "hot"}
    h.note(*status())
    h.note(*status())
    assert kinds(h) == {}, "the arm would rest, and the servos that held would let go"
    h.note(*celsius(68))
    assert kinds(h) == {}
    h.note(*celsius(68))
    assert kinds(h) == {"hot": ("lift",)}


def test_voltage_and_sensor_say_what_was_read() -> None:
    h = health(("Present_Voltage", {"lift": 41, "grip": 39}), *[status(1, 1)] * 2)
    assert h.findings() == [Finding("voltage", JOINTS, "3.9 V at the servos")]
    assert kinds(health(*[status(lift=2)] * 2)) == {"sensor": ("lift",)}


def test_after_it_was_away_nothing_counts() -> None:
    h = health(*[status(lift=32)] * 2)
    h.forget()
    assert kinds(h) == {}
    assert h.to_json() == {}


def test_the_emulated_servos_have_the_same_alarms() -> None:
    assert {a.name: a.value for a in Alarm} == {a.name: a.value for a in EmulatedAlarm}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(set(ORDER))),
            st.fixed_dictionaries({j: st.integers(-1023, 65535) for j in JOINTS}),
        )
    )
)
def test_no_reading_breaks_it(readings: list[tuple[str, dict[str, int]]]) -> None:
    for finding in health(*readings).findings():
        assert finding.joints
        assert set(finding.joints) <= set(JOINTS)
