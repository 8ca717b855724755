"""How long an answer may take."""

from __future__ import annotations

from agent.policy.remote.patience import Patience

SPAN_S = 1.5


def test_while_nothing_is_known_it_waits_as_long_as_it_may() -> None:
    assert Patience(54.0).limit_s(SPAN_S) == 54.0


def test_a_fast_server_is_waited_for_as_long_as_control_waits_for_it() -> None:
    patience = Patience(54.0)
    patience.note(0.05)

    assert patience.limit_s(SPAN_S) == 2 * SPAN_S


def test_a_slow_server_is_given_what_it_needs_and_no_more_than_there_is() -> None:
    patience = Patience(54.0)
    for seconds in (3.0, 10.0, 4.0):
        patience.note(seconds)
    assert patience.limit_s(SPAN_S) == 20.0

    for _ in range(8):
        patience.note(1.0)
    assert patience.limit_s(SPAN_S) == 3.0

    patience.note(40.0)
    assert patience.limit_s(SPAN_S) == 54.0
