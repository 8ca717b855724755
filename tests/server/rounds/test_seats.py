"""Who is asked, who is asked as well, and when nobody is left to wait for."""

from __future__ import annotations

from server.rounds.progress import DONE, OPEN, OUT, SAME, Progress, Seat
from server.rounds.seats import admit, complete, draw
from server.rounds.spec import RoundSpec

NODES = [str(n) for n in range(10)]


def nobody(node: str) -> str:
    return ""


def progress(wanted: int, **seats: str) -> Progress:
    return Progress(
        wanted=wanted, seats={k.removeprefix("n"): Seat(state=v) for k, v in seats.items()}
    )


def test_a_share_is_drawn_by_seed() -> None:
    spec = RoundSpec(fraction=0.35)
    drawn = draw(NODES, nobody, spec, seed=1)

    assert len(drawn) == len(set(drawn)) == 4
    assert draw(NODES[::-1], nobody, spec, seed=1) == drawn
    assert any(draw(NODES, nobody, spec, seed) != drawn for seed in range(2, 5))
    assert sorted(draw(NODES, nobody, RoundSpec(), seed=1)) == NODES
    assert len(draw(NODES, nobody, RoundSpec(fraction=0.1, min_robots=5), seed=1)) == 5


def test_the_same_robots_are_drawn_when_their_nodes_have_other_numbers() -> None:
    spec = RoundSpec(fraction=0.5)
    names = {node: f"robot{node}" for node in NODES}
    others = {f"1{9 - int(node)}": name for node, name in names.items()}

    drawn = {names[node] for node in draw(NODES, names.__getitem__, spec, seed=4)}

    assert {others[node] for node in draw([*others], others.__getitem__, spec, seed=4)} == drawn


def test_who_comes_during_the_round_is_asked_if_everybody_is() -> None:
    assert admit(progress(1, n1=OPEN), {"1", "2"}, RoundSpec()) == ["2"]
    assert admit(progress(1, n1=OPEN), {"1"}, RoundSpec()) == []


def test_who_comes_takes_the_place_of_one_that_went() -> None:
    spec = RoundSpec(fraction=0.5)
    assert admit(progress(2, n1=OPEN, n2=DONE), {"1", "2", "3", "4"}, spec) == []
    assert admit(progress(2, n1=OPEN, n2=DONE), {"2", "3", "4"}, spec) == ["3"]
    assert admit(progress(2, n1=OUT, n2=DONE), {"3"}, spec) == []


def test_a_round_is_complete_when_as_many_as_were_asked_have_answered() -> None:
    assert not complete(progress(2, n1=DONE, n2=OPEN), {"1", "2"})
    assert not complete(progress(2, n1=DONE, n2=OPEN), {"1"}), "it may come back"
    assert complete(progress(2, n1=DONE, n2=OUT), {"1"})
    assert complete(progress(2, n1=DONE, n2=SAME, n3=DONE), {"1", "3"})
    assert not complete(progress(2, n1=DONE, n2=DONE, n3=OPEN), {"3"}), "it was asked as well"
    assert complete(progress(2, n1=DONE, n2=DONE, n3=OPEN), {"1"})
