"""Schedules and robots over gRPC, as the commands ask for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.fleet import FleetClient
from agent.link.messages import Event, Status
from robots.errors import ArmadaError, FederationError
from server.commands import robots, schedule
from server.registry.releases import Releases
from server.robots.decisions import Decisions
from server.robots.roster import Roster
from server.rounds.rounds import Rounds
from server.schedule.book import Book
from server.service import serve
from server.whole import WholeService
from tests.helpers import free_port


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    roster, decisions = Roster(tmp_path / "r.json"), Decisions(tmp_path / "d.jsonl")
    roster.note(
        Status(robot="left", fleet="lab", state="running", time=1.0, episodes=7, new_episodes=2),
        5.0,
    )
    decisions.note(
        Event(
            id="1", robot="left", event="release_refused", cause="worse", time=3.0,
            data={"version": 4, "difference": 0.5},
        )
    )  # fmt: skip
    address = f"127.0.0.1:{free_port()}"
    service = WholeService(
        Rounds(tmp_path / "rounds", None),  # type: ignore[arg-type]
        Releases(tmp_path / "releases"),
        roster,
        decisions,
        Book(tmp_path / "schedules"),
    )
    server = serve(service, address, None)
    yield address
    server.stop(None).wait()


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_schedule_is_set_paused_resumed_and_removed(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [f"--server={address}", "--json=true", "--by=ada"]
    night = ["--cron=0 3 * * *", "--timezone=Europe/Berlin", "--min_robots=3", "--train.steps=9"]
    assert schedule.main(["set", "nightly", *night, *where]) == 0
    (kept,) = said(capsys)
    assert (kept["cron"], kept["by"], kept["missed"]) == ("0 3 * * *", "ada", "skip")
    assert kept["next"]

    assert schedule.main(["pause", "nightly", *where]) == 0
    (paused,) = said(capsys)
    assert paused["paused"]
    assert "next" not in paused
    assert schedule.main(["resume", "nightly", *where]) == 0
    (resumed,) = said(capsys)
    assert (resumed["request"], resumed["next"]) == (kept["request"], kept["next"])

    assert schedule.main(["list", f"--server={address}"]) == 0
    assert "nightly" in capsys.readouterr().out
    assert schedule.main(["remove", "nightly", *where[:1], *where[2:]]) == 0
    with FleetClient(address) as client:
        assert client.schedules() == []
        with pytest.raises(FederationError, match="schedule=nightly: there is no such schedule"):
            client.remove_schedule("nightly", "ada")


@pytest.mark.parametrize("words", [
    ["--cron=soon"], ["--cron=* * * * *", "--train.steps=0"], [],
    ["--cron=* * * * *", "--timezone=Mars"],
])  # fmt: skip
def test_what_could_not_be_started_at_night_is_refused_by_day(
    address: str, words: list[str]
) -> None:
    with pytest.raises(ArmadaError, match=r"--cron|--timezone|--train\.steps|schedule="):
        schedule.main(["set", "nightly", f"--server={address}", *words])
    with FleetClient(address) as client:
        assert client.schedules() == []


def test_a_cron_expression_may_begin_with_a_star(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [f"--server={address}", "--json=true"]
    assert schedule.main(["set", "often", "--cron=*/5 * * * *", *where]) == 0
    (kept,) = said(capsys)
    assert kept["cron"] == "*/5 * * * *"


def test_robots_and_their_decisions_are_listed(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert robots.main([f"--server={address}", "--json=true"]) == 0
    (robot,) = said(capsys)
    assert (robot["robot"], robot["episodes"], robot["new_episodes"]) == ("left", 7, 2)
    assert robot["last_decision"] == "release_refused: worse"
    assert robots.main(["decisions", f"--server={address}", "--json=true", "--version=4"]) == 0
    (entry,) = said(capsys)
    assert (entry["event"], entry["cause"]) == ("release_refused", "worse")
    assert entry["data"] == {"version": 4, "difference": 0.5}
    assert robots.main(["decisions", f"--server={address}", "--json=true", "--robot=right"]) == 0
    assert said(capsys) == []
    assert robots.main(["list", f"--server={address}"]) == 0
    assert "left" in capsys.readouterr().out
