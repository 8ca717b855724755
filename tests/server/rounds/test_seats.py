"""Who is asked, who is asked as well, and when nobody is left to wait for."""

from __future__ import annotations

from server.rounds.progress import DONE, OPEN, OUT, SAME, Progress, Seat
from server.rounds.seats import admit, complete, draw
from server.rounds.spec import RoundSpec

NODES = [str(n) for n in range(10)]


SHARE = RoundSpec(fraction=0.5)


def nobody(node: str) -> str:
    return ""


def progress(wanted: int, **seats: str) -> Progress:
    return Progress(
        wanted=wanted, seats={k.removeprefix("n"): Seat(state=v) for k, v in seats.items()}
    )


def admitted(progress: Progress, online: set[str], spec: RoundSpec) -> list[str]:
    return admit(progress, online, nobody, spec, seed=1)


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
    assert admitted(progress(1, n1=OPEN), {"1", "2"}, RoundSpec()) == ["2"]
    assert admitted(progress(1, n1=OPEN), {"1"}, RoundSpec()) == []
    assert admitted(progress(1, n1=OUT), {"1"}, RoundSpec()) == []


def test_somebody_takes_the_place_of_one_that_went_or_is_out() -> None:
    assert admitted(progress(2, n1=OPEN, n2=DONE), {"1", "2", "3", "4"}, SHARE) == []
    assert len(admitted(progress(2, n1=OPEN, n2=DONE), {"2", "3", "4"}, SHARE)) == 1
    assert admitted(progress(2, n1=OUT, n2=DONE), {"1", "3"}, SHARE) == ["3"]
    assert admitted(progress(2, n1=OUT, n2=DONE, n3=OPEN), {"1", "3", "4"}, SHARE) == []


def test_who_takes_a_place_follows_from_the_seed_and_the_robots_names() -> None:
    names = {node: f"robot{node}" for node in NODES}
    others = {f"1{9 - int(node)}": name for node, name in names.items()}
    asked = progress(4, n20=OUT)

    def row(names: dict[str, str], there: set[str], seed: int = 4) -> list[str]:
        online = {node for node, name in names.items() if name in there}
        return [names[n] for n in admit(asked, online, names.__getitem__, SHARE, seed)]

    everybody = set(names.values())
    first = row(names, everybody)
    assert len(first) == 4
    assert row(others, everybody) == first
    assert row(names, everybody - {first[0]})[:3] == first[1:]
    assert any(row(names, everybody, seed) != first for seed in range(5, 9))


def test_a_round_is_complete_when_as_many_as_were_asked_have_answered() -> None:
    for spec in (RoundSpec(), SHARE):
        assert not complete(progress(2, n1=DONE, n2=OPEN), {"1", "2"}, spec)
        assert not complete(progress(2, n1=DONE, n2=OPEN), {"1"}, spec), "it may come back"
        assert complete(progress(2, n1=DONE, n2=OUT), {"1"}, spec)
        assert complete(progress(2, n1=DONE, n2=SAME, n3=DONE), {"1", "3"}, spec)
        assert not complete(progress(2, n1=DONE, n2=DONE, n3=OPEN), {"3"}, spec), "asked as well"
        assert complete(progress(2, n1=DONE, n2=DONE, n3=OPEN), {"1"}, spec)
    replaced = progress(2, n1=DONE, n2=OUT, n3=OPEN)
    assert not complete(replaced, {"1"}, SHARE), "it was asked in the place of the second"
    assert complete(replaced, {"1"}, RoundSpec())
