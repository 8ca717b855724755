"""What the server keeps of what robots say, and what it makes of nonsense."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from agent.link.messages import Event, Status, encode
from agent.proto import fleet_pb2 as pb
from server.robots import decisions as decisions_module
from server.robots.decisions import Decisions
from server.robots.listen import RobotListener
from server.robots.roster import Roster
from server.robots.service import RobotsService


def decision(
    number: int, robot: str = "left", kind: str = "release_promoted", **data: Any
) -> Event:
    return Event(
        id=f"e{number}", robot=robot, event=kind, cause="a test", time=float(number), data=data
    )


def status(robot: str = "left", **values: Any) -> Status:
    return Status(**{"robot": robot, "fleet": "lab", "state": "running", "time": 1.0, **values})


class Server:
    """The listening part of a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.restart()

    def restart(self) -> None:
        self.roster = Roster(self.folder / "robots.json")
        self.decisions = Decisions(self.folder / "decisions.jsonl")
        self.listener = RobotListener("lab", self.roster, self.decisions)
        self.service = RobotsService(self.roster, self.decisions)

    def hears(self, what: Event | Status | bytes, topic: str = "") -> None:
        kind = "status" if isinstance(what, Status) else "event"
        robot = "left" if isinstance(what, bytes) else what.robot
        payload = what if isinstance(what, bytes) else encode(what)
        self.listener.hear(topic or f"armada/lab/{robot}/{kind}", payload)

    def decided(self, **filters: Any) -> list[str]:
        request = pb.ListDecisionsRequest(**filters)
        answer = self.service.ListDecisions(request, None)  # type: ignore[arg-type]
        return [d.event for d in answer.decisions]

    def robots(self) -> list[pb.Robot]:
        return list(self.service.ListRobots(pb.ListRobotsRequest(), None).robots)  # type: ignore[arg-type]


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_a_robot_is_known_by_its_last_status(server: Server) -> None:
    server.hears(status(episodes=7, new_episodes=3, release=2))
    server.hears(status(state="stopped", episodes=8, new_episodes=4, release=2))
    (robot,) = server.robots()
    assert (robot.name, robot.state, robot.episodes) == ("left", "stopped", 8)
    assert (robot.new_episodes, robot.release) == (4, 2)
    assert robot.heard > 1e9


def test_the_brokers_word_that_it_is_gone_leaves_what_was_known(server: Server) -> None:
    server.hears(status(episodes=7, new_episodes=3))
    heard = server.robots()[0].heard
    server.hears(status(state="offline"))
    (robot,) = server.robots()
    assert (robot.state, robot.episodes, robot.heard) == ("offline", 7, heard)


def test_a_server_that_was_restarted_knows_of_robots_that_are_off(server: Server) -> None:
    server.hears(status(episodes=7))
    server.roster.save()
    server.restart()
    (robot,) = server.robots()
    assert (robot.state, robot.episodes) == ("offline", 7)


def test_decisions_are_kept_once_over_restarts(server: Server) -> None:
    server.hears(decision(1, version=3))
    server.hears(decision(1, version=3))
    server.restart()
    server.hears(decision(1, version=3))
    server.hears(decision(2, kind="release_rolled_back", version=3))
    assert server.decided() == ["release_promoted", "release_rolled_back"]
    assert server.robots() == []


def test_a_decision_that_only_a_status_carries_is_kept_as_well(server: Server) -> None:
    carried = [json.loads(encode(decision(n, version=3))) for n in (1, 2)]
    server.hears(decision(1, version=3))
    server.hears(status(decisions=carried))
    server.hears(status(decisions=carried))
    assert server.decided() == ["release_promoted"] * 2
    assert server.robots()[0].last_decision == "release_promoted: a test"


def test_decisions_are_found_by_robot_and_by_release(server: Server) -> None:
    server.hears(decision(1, version=3))
    server.hears(decision(2, "right", "release_refused", version=3))
    server.hears(decision(3, version=4, kind="release_kept"))
    server.hears(decision(4, kind="guard"))
    assert server.decided(version=3) == ["release_promoted", "release_refused"]
    assert server.decided(robot="left") == ["release_promoted", "release_kept"]
    assert server.decided(robot="nobody") == []


def test_the_file_does_not_grow_for_ever(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions_module, "MOST", 5)
    for number in range(27):
        server.hears(decision(number))
    lines = (server.folder / "decisions.jsonl").read_text().splitlines()
    assert len(lines) <= 11
    assert json.loads(lines[-1])["id"] == "e26"
    before = server.decided()
    server.restart()
    assert server.decided() == before


def test_a_line_that_a_power_cut_tore_is_passed_over(server: Server) -> None:
    server.hears(decision(1))
    with (server.folder / "decisions.jsonl").open("ab") as file:
        file.write(b'{"id": "e2", "rob')
    server.restart()
    server.hears(decision(3))
    server.restart()
    assert server.decided() == ["release_promoted"] * 2


def test_nonsense_and_words_in_anothers_name_are_passed_over(server: Server) -> None:
    for payload in (b"", b"{", b"[]", b"\xff", b'{"robot": "left"}', b"x" * 100_000):
        server.hears(payload)
        server.hears(payload, "armada/lab/left/status")
    server.hears(decision(1, "right"), "armada/lab/left/event")
    server.hears(status("right"), "armada/lab/left/status")
    server.hears(status(decisions=[1, None, {"id": 3}, {}]), "armada/lab/left/status")
    server.hears(status("..", state="x"), "armada/lab/../status")
    assert server.decided() == []
    assert [r.name for r in server.robots()] == ["left"]


def test_spoilt_files_are_begun_anew(server: Server) -> None:
    (server.folder / "robots.json").write_text('[{"name": 3}]')
    server.restart()
    assert server.robots() == []


def test_figures_that_no_robot_has_break_no_list(server: Server) -> None:
    server.hears(status("evil", episodes=2**40, new_episodes=2**70, release=2**32))
    for when in (10**400, 1e300, -1):
        server.hears(dataclasses.replace(decision(1, "evil"), time=when))
    server.hears(decision(2))

    (robot,) = server.robots()
    assert (robot.episodes, robot.new_episodes, robot.release) == (2**31 - 1,) * 3
    assert server.decided() == ["release_promoted"]


def test_figures_that_were_kept_before_break_no_list(server: Server) -> None:
    robot = {"name": "evil", "state": "running", "heard": 1.0, "episodes": 2**40}
    (server.folder / "robots.json").write_text(json.dumps([robot]))
    server.restart()

    assert [robot.episodes for robot in server.robots()] == [2**31 - 1]


def test_a_decision_of_no_time_that_was_kept_before_is_passed_over(server: Server) -> None:
    event = dataclasses.replace(decision(1), time=10**400)
    (server.folder / "decisions.jsonl").write_bytes(encode(event) + b"\n")
    server.restart()
    server.hears(decision(2))

    assert server.decided() == ["release_promoted"]


def test_an_answer_fits_into_a_message_newest_first(server: Server) -> None:
    for number in range(100):
        server.hears(decision(number, version=number, more="x" * 60_000))
    server.hears(status())

    answer = server.service.ListDecisions(pb.ListDecisionsRequest(), None)  # type: ignore[arg-type]
    assert answer.ByteSize() < 4 << 20
    times = [decision.time for decision in answer.decisions]
    assert times == list(range(100 - len(times), 100))
    assert len(times) > 50

    server.hears(dataclasses.replace(decision(100), cause="y" * 60_000))
    (robot,) = server.robots()
    assert len(robot.last_decision) == 100
