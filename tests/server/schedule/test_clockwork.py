"""What starts by itself, when, and what becomes of slots that were missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.proto import fleet_pb2 as pb
from robots.errors import ConfigError, FederationError
from server.robots.roster import RobotState
from server.schedule.book import Book
from server.schedule.clockwork import Clockwork
from server.schedule.entry import Entry

MINUTE = 60.0


class Fleet:
    """A server's clock, robots and rounds; schedules on a real disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1_000_000 * MINUTE
        self.robots: dict[str, RobotState] = {}
        self.started: list[pb.StartRoundRequest] = []
        self.busy: list[int] = []
        self.refuses = ""
        self.restart()

    def restart(self) -> None:
        self.book = Book(self.folder)
        self.clockwork = Clockwork(
            self.book, self, lambda: list(self.robots.values()), lambda: self.now
        )

    def start(self, request: pb.StartRoundRequest) -> int:
        if self.refuses:
            raise FederationError(self.refuses)
        self.started.append(request)
        number = len(self.started)
        self.busy.append(number)
        return number

    def unfinished(self) -> list[int]:
        return self.busy

    def set(self, name: str = "nightly", **values: Any) -> Entry:
        message = pb.Schedule(name=name, by="ada", **values)
        message.request.min_robots = 3
        entry = Entry.asked(message, self.book.get(name), self.now)
        return self.book.set(entry, what="set", by="ada")

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.clockwork.poll()

    def entry(self, name: str = "nightly") -> Entry:
        entry = self.book.get(name)
        assert entry is not None
        return entry

    def robot(self, name: str, episodes: int, new: int, state: str = "running") -> None:
        self.robots[name] = RobotState(
            name=name, state=state, heard=self.now, episodes=episodes, new_episodes=new
        )


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_a_round_starts_in_its_slot_with_what_was_asked_for(fleet: Fleet) -> None:
    fleet.set(cron="*/5 * * * *")
    fleet.passes(4 * MINUTE)
    assert fleet.started == []
    fleet.passes(2 * MINUTE)
    (request,) = fleet.started
    assert (request.min_robots, request.queue, request.by) == (3, True, "schedule nightly")
    fleet.passes(1.0)
    assert len(fleet.started) == 1
    entry = fleet.entry()
    assert (entry.outcome, entry.last) == ("started round 1", fleet.now - 1.0)
    assert entry.due > fleet.now


def test_a_slot_that_finds_a_round_running_is_skipped_or_waits_as_asked(fleet: Fleet) -> None:
    fleet.busy = [7]
    fleet.set("skips", cron="* * * * *")
    fleet.set("runs", cron="* * * * *", missed="run")
    fleet.passes(MINUTE)
    assert [r.by for r in fleet.started] == ["schedule runs"]
    assert fleet.entry("skips").outcome == "skipped: round 7 was running"


def test_a_schedule_waits_in_the_queue_once(fleet: Fleet) -> None:
    fleet.set(cron="* * * * *", missed="run")
    for _ in range(5):
        fleet.passes(MINUTE)
    assert len(fleet.started) == 1
    assert fleet.entry().outcome == "skipped: round 1 is this schedule's own"
    fleet.busy.clear()
    fleet.passes(MINUTE)
    assert len(fleet.started) == 2


@pytest.mark.parametrize(("missed", "runs"), [("skip", 0), ("run", 1)])
def test_slots_that_passed_while_the_server_was_down(fleet: Fleet, missed: str, runs: int) -> None:
    fleet.set(cron="0 * * * *", missed=missed)
    fleet.now += 300 * MINUTE
    fleet.restart()
    fleet.passes(0.0)
    fleet.passes(1.0)
    assert len(fleet.started) == runs, "once for all of them"
    entry = fleet.entry()
    assert fleet.now < entry.due <= fleet.now + 60 * MINUTE
    assert entry.outcome.startswith("started" if runs else "missed: the server was down for")


def test_paused_ones_start_nothing_and_make_up_for_nothing(fleet: Fleet) -> None:
    fleet.set(cron="* * * * *", missed="run", paused=True)
    fleet.passes(10 * MINUTE)
    fleet.set(cron="* * * * *", missed="run")
    fleet.passes(0.0)
    assert fleet.started == []
    fleet.passes(MINUTE)
    assert len(fleet.started) == 1


def test_a_refusal_is_the_outcome_and_the_next_slot_tries_anew(fleet: Fleet) -> None:
    fleet.set(cron="* * * * *")
    fleet.refuses = "the SuperLink does not answer"
    fleet.passes(MINUTE)
    assert fleet.entry().outcome == "not started: the SuperLink does not answer"
    fleet.refuses = ""
    fleet.passes(MINUTE)
    assert fleet.entry().outcome == "started round 1"


def test_enough_robots_with_enough_new_episodes_start_one(fleet: Fleet) -> None:
    fleet.set(robots=2, new_episodes=5)
    fleet.robot("left", 9, 5)
    fleet.robot("right", 4, 4)
    fleet.robot("off", 50, 50, state="offline")
    fleet.passes(1.0)
    assert fleet.started == []
    fleet.robot("right", 5, 5)
    fleet.passes(1.0)
    assert len(fleet.started) == 1
    assert fleet.entry().counted == {"left": 9, "right": 5}


def test_the_same_episodes_start_no_second_one(fleet: Fleet) -> None:
    """The round may have failed: then it isn't tried every second."""
    fleet.set(robots=2, new_episodes=5)
    fleet.robot("left", 9, 5)
    fleet.robot("right", 5, 5)
    fleet.passes(1.0)
    fleet.busy.clear()
    fleet.robot("left", 10, 6)
    fleet.passes(1.0)
    assert len(fleet.started) == 1
    fleet.robot("left", 14, 10)
    fleet.robot("right", 10, 10)
    fleet.passes(1.0)
    assert len(fleet.started) == 2


def test_robots_never_start_one_beside_another(fleet: Fleet) -> None:
    fleet.set(robots=1, new_episodes=1)
    fleet.robot("left", 1, 1)
    fleet.busy = [4]
    fleet.passes(1.0)
    assert fleet.started == []


def test_all_of_it_survives_a_restart_and_who_did_what_is_kept(fleet: Fleet) -> None:
    fleet.set(cron="* * * * *", timezone="Europe/Berlin")
    fleet.passes(MINUTE)
    before = fleet.book.all()
    fleet.restart()
    assert fleet.book.all() == before
    fleet.book.remove("nightly", by="bob")
    lines = (fleet.folder / "schedules.jsonl").read_text().splitlines()
    told = [(e["schedule"], e["what"], e["by"]) for e in map(json.loads, lines)]
    assert told == [
        ("nightly", "set", "ada"),
        ("nightly", "due", "schedule nightly"),
        ("nightly", "started", "schedule nightly"),
        ("nightly", "removed", "bob"),
    ]
    with pytest.raises(FederationError, match="schedule=nightly: there is no such schedule"):
        fleet.book.remove("nightly", by="bob")


def test_a_server_that_died_as_a_round_began_starts_no_second_one(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.set(cron="*/5 * * * *")

    def die(request: pb.StartRoundRequest) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(fleet, "start", die)
    with pytest.raises(KeyboardInterrupt):
        fleet.passes(6 * MINUTE)
    monkeypatch.undo()
    fleet.restart()
    fleet.passes(1.0)
    assert fleet.started == []


def test_a_damaged_file_is_said_and_not_begun_anew(fleet: Fleet) -> None:
    (fleet.folder / "schedules.json").write_text("[{]")
    with pytest.raises(FederationError, match=r"schedules=.*can't be read"):
        fleet.restart()


@pytest.mark.parametrize(("values", "field"), [
    ({}, "schedule"),
    ({"cron": "* * * * *", "robots": 2, "new_episodes": 1}, "schedule"),
    ({"robots": 2}, "--new_episodes"),
    ({"cron": "often"}, "--cron"),
    ({"cron": "* * * * *", "timezone": "Mars"}, "--timezone"),
    ({"cron": "* * * * *", "missed": "twice"}, "--missed"),
    ({"cron": "* * * * *", "name": "../up"}, "schedule"),
])  # fmt: skip
def test_what_can_not_be_meant_is_refused(fleet: Fleet, values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}="):
        fleet.set(**{"name": "nightly", **values})
