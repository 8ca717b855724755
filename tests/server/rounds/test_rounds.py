"""Rounds: one at a time, their state is what their events say."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from agent.training.config import TrainConfig
from robots.errors import ConfigError, FederationError
from server.events import EventFile
from server.flower_control import RunStatus
from server.rounds.rounds import NoSuchRoundError, RoundBusyError, Rounds
from server.rounds.spec import RoundSpec

RUN = 2**63 + 11


class Control:
    """A SuperLink that does as it is told; the real one is in test_whole_path.py."""

    def __init__(self) -> None:
        self.run: RunStatus | FederationError | None = RunStatus("running", "", "")
        self.started: list[dict[str, Any]] = []
        self.refuse = False

    def start_run(self, bundle: Any, config: dict[str, Any]) -> int:
        if self.refuse:
            raise FederationError("the SuperLink does not answer")
        self.started.append(config)
        return RUN

    def status(self, run_id: int) -> RunStatus | None:
        assert run_id == RUN
        if isinstance(self.run, FederationError):
            raise self.run
        return self.run


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def rounds(tmp_path: Path, control: Control) -> Rounds:
    return Rounds(tmp_path, control)  # type: ignore[arg-type]


def events(tmp_path: Path, number: int) -> EventFile:
    return EventFile(tmp_path / f"{number:04d}" / "events.jsonl")


def test_a_round_is_started_and_followed_to_its_end(
    tmp_path: Path, rounds: Rounds, control: Control
) -> None:
    spec = RoundSpec(rounds=2, train=TrainConfig(steps=5))
    record = rounds.start(spec)
    assert control.started == [{"round-id": 1}]
    assert (record.id, record.run_id, record.status, record.spec) == (1, RUN, "running", spec)

    heard = []
    follower = threading.Thread(target=lambda: heard.extend(rounds.follow(1)))
    follower.start()
    events(tmp_path, 1).emit("released", version=4)
    events(tmp_path, 1).emit("finished", releases=[4])
    follower.join(10)

    assert [e.kind for e in heard] == ["started", "released", "finished"]
    assert [e.sequence for e in rounds.follow(1, after=1)] == [2, 3]
    assert (rounds.get(1).status, rounds.get(1).releases) == ("finished", (4,))


def test_one_at_a_time(tmp_path: Path, rounds: Rounds) -> None:
    rounds.start(RoundSpec())
    with pytest.raises(RoundBusyError, match="round 1 is running"):
        rounds.start(RoundSpec())
    events(tmp_path, 1).emit("failed", reason="said so")
    assert rounds.start(RoundSpec()).id == 2
    assert [(r.id, r.status, r.reason) for r in rounds.all()] == [
        (1, "failed", "said so"),
        (2, "running", ""),
    ]


def test_a_superlink_that_refuses_makes_a_failed_round(rounds: Rounds, control: Control) -> None:
    control.refuse = True
    with pytest.raises(FederationError):
        rounds.start(RoundSpec())
    assert rounds.get(1).reason == "the SuperLink does not answer"


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (RunStatus("finished", "failed", "ServerApp was killed"), "ServerApp was killed"),
        (RunStatus("finished", "stopped", ""), "Flower ended the run: stopped"),
        (None, "the SuperLink no longer knows the run"),
    ],
)
def test_a_run_that_ends_without_a_word_fails_its_round(
    rounds: Rounds, control: Control, run: RunStatus | None, reason: str
) -> None:
    rounds.start(RoundSpec())
    rounds.poll()
    assert rounds.get(1).status == "running"
    control.run = run
    rounds.poll()
    rounds.poll()
    assert (rounds.get(1).status, rounds.get(1).reason) == ("failed", reason)
    assert [e.kind for e in rounds.follow(1)] == ["started", "failed"]


def test_a_superlink_that_is_away_fails_nothing(rounds: Rounds, control: Control) -> None:
    rounds.start(RoundSpec())
    control.run = FederationError("away")
    rounds.poll()
    assert rounds.get(1).status == "running"


def test_a_round_that_the_server_died_in_starting_is_over(tmp_path: Path, rounds: Rounds) -> None:
    rounds.start(RoundSpec())
    (tmp_path / "0001" / "run.json").unlink()
    rounds.abandon()
    assert rounds.get(1).reason == "the server ended as it began"


def test_a_torn_line_is_skipped(tmp_path: Path, rounds: Rounds) -> None:
    rounds.start(RoundSpec())
    path = tmp_path / "0001" / "events.jsonl"
    with path.open("ab") as file:
        file.write(b'{"time": 1, "kind": "re')
    assert [e.kind for e in EventFile(path).read()] == ["started"]


def test_there_is_no_round_nine(rounds: Rounds) -> None:
    with pytest.raises(NoSuchRoundError, match="round=9: there is no such round"):
        rounds.get(9)


def test_absurd_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--rounds=0: must be from 1"):
        RoundSpec(rounds=0)
    with pytest.raises(ConfigError, match=r"--train.steps=100000000: must be from 1 to 100000"):
        TrainConfig(steps=100_000_000)
