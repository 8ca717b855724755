"""Rounds: one at a time, their state is what their events say, and what runs is kept running."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.training.config import TrainConfig
from robots.errors import FederationError
from server.events import EventFile, RoundEvent
from server.flower_control import RunStatus
from server.rounds.folder import RoundFolder
from server.rounds.progress import RELEASE, Progress
from server.rounds.record import NoRoomError, NoSuchRoundError, RoundBusyError
from server.rounds.rounds import Rounds
from server.rounds.spec import RoundSpec
from server.rounds.watch import MOST_RESUMES, hold
from server.schedule.starter import RoundStarter

RUN = 2**63 + 11
RUNNING = RunStatus("running", "", "")


class Control:
    """A SuperLink that does as it is told; the real one is in test_on_flower.py."""

    def __init__(self) -> None:
        self.run: RunStatus | FederationError | None = RUNNING
        self.started: list[dict[str, Any]] = []
        self.stopped: list[int] = []
        self.refuse = False
        self.away = False

    def start_run(self, bundle: Any, config: dict[str, Any]) -> int:
        if self.away:
            raise FederationError("the SuperLink does not answer")
        if self.refuse:
            raise FederationError("the SuperLink refused the run")
        self.started.append(config)
        return RUN + len(self.started) - 1

    def status(self, run_id: int) -> RunStatus | None:
        if isinstance(self.run, FederationError):
            raise self.run
        return self.run

    def stop_run(self, run_id: int) -> None:
        if self.away:
            raise FederationError("the SuperLink does not answer")
        self.stopped.append(run_id)

    def reachable(self) -> bool:
        return not self.away


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def rounds(tmp_path: Path, control: Control) -> Rounds:
    return Rounds(tmp_path, control)  # type: ignore[arg-type]


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are begun anew without a pause in between."""
    monkeypatch.setattr("server.rounds.watch._LONGEST_PAUSE_S", 0.0)


def events(tmp_path: Path, number: int) -> EventFile:
    return RoundFolder.of(tmp_path, number).events


def kinds(rounds: Rounds, number: int) -> list[str]:
    return [event.kind for event in rounds.follow(number)]


def test_a_round_is_started_and_followed_to_its_end(
    tmp_path: Path, rounds: Rounds, control: Control
) -> None:
    spec = RoundSpec(rounds=2, train=TrainConfig(steps=5), by="ada")
    record = rounds.start(spec)
    assert control.started == [{"round-id": 1}]
    assert (record.id, record.run_id, record.status, record.spec) == (1, RUN, "running", spec)

    heard: list[RoundEvent] = []
    follower = threading.Thread(target=lambda: heard.extend(rounds.follow(1)))
    follower.start()
    events(tmp_path, 1).emit("released", version=4)
    events(tmp_path, 1).emit("finished", releases=[4])
    follower.join(10)

    assert [e.kind for e in heard] == ["started", "released", "finished"]
    assert heard[0].data["by"] == "ada"
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


def test_those_that_wait_begin_one_after_the_other(
    tmp_path: Path, rounds: Rounds, control: Control
) -> None:
    for _ in range(3):
        rounds.start(RoundSpec(queue=True))
    assert [r.status for r in rounds.all()] == ["running", "queued", "queued"]
    with pytest.raises(RoundBusyError, match="round 1 is running"):
        rounds.start(RoundSpec())
    rounds.poll()
    assert control.started == [{"round-id": 1}]

    events(tmp_path, 1).emit("finished", releases=[])
    control.away = True
    rounds.poll()
    assert rounds.get(2).status == "queued", "it waits for the SuperLink, too"
    control.away = False
    rounds.poll()
    rounds.poll()

    assert [r.status for r in rounds.all()] == ["finished", "running", "queued"]
    assert control.started == [{"round-id": 1}, {"round-id": 2}]


def test_a_cancelled_round_is_over_whatever_its_serverapp_says(
    tmp_path: Path, rounds: Rounds, control: Control
) -> None:
    rounds.start(RoundSpec())
    rounds.start(RoundSpec(queue=True))

    assert rounds.cancel(1, "ada").status == "cancelled"
    events(tmp_path, 1).emit("failed", reason="the run was stopped")
    assert rounds.cancel(2, "").status == "cancelled"

    assert control.stopped == [RUN]
    assert (rounds.get(1).status, rounds.get(1).reason) == ("cancelled", "by ada")
    assert RoundFolder.of(tmp_path, 1).run["cancelled"]
    assert kinds(rounds, 2) == ["queued", "cancelled"]
    with pytest.raises(RoundBusyError, match="round 1 is over: cancelled"):
        rounds.cancel(1, "ada")
    rounds.poll()
    assert len(control.started) == 1


def test_a_round_is_cancelled_also_while_the_superlink_is_away(
    rounds: Rounds, control: Control
) -> None:
    rounds.start(RoundSpec())
    control.away = True

    assert rounds.cancel(1, "ada").status == "cancelled"


def test_what_is_over_is_not_read_again_and_what_runs_is_read_once(
    tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        rounds.start(RoundSpec(queue=True))
    for number in (1, 2):
        events(tmp_path, number).emit("finished", releases=[])
    starter = RoundStarter(rounds)
    assert starter.unfinished() == [3]
    rounds.poll()

    def counted(self: EventFile, after: int = 0) -> list[RoundEvent]:
        reads.append(self)
        return read(self, after)

    reads: list[EventFile] = []
    read = EventFile.read
    monkeypatch.setattr(EventFile, "read", counted)
    assert starter.unfinished() == [3]
    assert len(reads) == 1
    rounds.poll()
    assert len(reads) == 2


def test_a_server_that_dies_in_cancelling_has_cancelled(
    tmp_path: Path, rounds: Rounds, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: EventFile, kind: str, **data: Any) -> None:
        raise KeyboardInterrupt

    rounds.start(RoundSpec())
    rounds.start(RoundSpec(queue=True))
    for number in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(EventFile, "emit", killed)
            with pytest.raises(KeyboardInterrupt):
                rounds.cancel(number, "ada")

    rounds.poll()
    rounds.poll()

    assert [(r.status, r.reason) for r in rounds.all()] == [("cancelled", "by ada")] * 2
    assert len(control.started) == 1


def test_a_superlink_that_refuses_makes_a_failed_round(rounds: Rounds, control: Control) -> None:
    control.refuse = True
    with pytest.raises(FederationError):
        rounds.start(RoundSpec())
    assert rounds.get(1).reason == "the SuperLink refused the run"


def test_on_a_full_disk_no_round_begins(tmp_path: Path, rounds: Rounds, control: Control) -> None:
    rounds.start(RoundSpec())
    rounds.start(RoundSpec(queue=True))
    events(tmp_path, 1).emit("finished", releases=[])
    full = Rounds(tmp_path, control, min_free_gb=1e6)  # type: ignore[arg-type]

    full.poll()
    assert "GB are free on the server's disk, a round needs 1e+06" in full.get(2).reason
    with pytest.raises(NoRoomError, match=r"disk=.*Free some, or start .* --min_free_gb"):
        full.start(RoundSpec())
    assert len(full.all()) == 2


def test_a_superlink_that_is_away_is_waited_for(rounds: Rounds, control: Control) -> None:
    control.away = True
    assert rounds.start(RoundSpec()).status == "queued"
    rounds.poll()
    control.away = False
    rounds.poll()
    assert rounds.get(1).status == "running"


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (RunStatus("finished", "failed", "no heartbeat"), "no heartbeat"),
        (RunStatus("finished", "completed", ""), "Flower ended the run: completed"),
        (None, "the SuperLink no longer knows the run"),
    ],
)
def test_a_run_that_ends_without_a_word_is_begun_anew(
    rounds: Rounds, control: Control, run: RunStatus | None, reason: str
) -> None:
    rounds.start(RoundSpec())
    rounds.poll()
    assert len(control.started) == 1
    control.run = run
    rounds.poll()
    control.run = RUNNING
    rounds.poll()

    assert control.started == [{"round-id": 1}] * 2
    record = rounds.get(1)
    assert (record.status, record.run_id) == ("running", RUN + 1)
    resumed = next(e for e in rounds.follow(1) if e.kind == "resumed")
    assert resumed.data == {"reason": reason, "run": str(RUN + 1)}


def test_a_serverapp_that_died_is_noticed_before_flower_does(
    tmp_path: Path, rounds: Rounds, control: Control
) -> None:
    rounds.start(RoundSpec())
    folder = RoundFolder.of(tmp_path, 1)
    lock = hold(folder, RUN)
    rounds.poll()
    assert len(control.started) == 1
    os.close(lock)
    rounds.poll()
    assert control.stopped == [RUN]
    assert len(control.started) == 2
    rounds.poll()
    assert len(control.started) == 2, "the next one hasn't begun: it isn't dead"


def test_two_serverapps_never_work_on_one_round(tmp_path: Path, rounds: Rounds) -> None:
    rounds.start(RoundSpec())
    folder = RoundFolder.of(tmp_path, 1)
    lock = hold(folder, RUN)
    with pytest.raises(FederationError, match="another run still works on round 1"):
        hold(folder, RUN + 1, limit_s=0.3)
    os.close(lock)
    os.close(hold(folder, RUN + 1, limit_s=0.3))
    with folder.lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.usefixtures("no_pause")
def test_runs_that_get_nowhere_end_the_round(
    tmp_path: Path, rounds: Rounds, control: Control
) -> None:
    rounds.start(RoundSpec())
    control.run = RunStatus("finished", "failed", "boom")
    for _ in range(MOST_RESUMES - 1):
        rounds.poll()
    assert rounds.get(1).status == "running"
    Progress(phase=RELEASE).save(RoundFolder.of(tmp_path, 1))
    for _ in range(MOST_RESUMES):
        rounds.poll()
    assert rounds.get(1).status == "running", "it had got on in between"
    rounds.poll()
    assert rounds.get(1).reason == f"{MOST_RESUMES} runs got nowhere; the last one: boom"


def test_between_runs_that_get_nowhere_there_is_a_pause(rounds: Rounds, control: Control) -> None:
    rounds.start(RoundSpec())
    control.run = RunStatus("finished", "failed", "boom")
    for _ in range(20):
        rounds.poll()
    assert len(control.started) == 2


def test_a_run_that_somebody_stopped_through_flower_is_cancelled(
    tmp_path: Path, rounds: Rounds, control: Control
) -> None:
    rounds.start(RoundSpec())
    control.run = RunStatus("finished", "stopped", "")
    rounds.poll()
    assert (rounds.get(1).status, rounds.get(1).reason) == ("cancelled", "stopped through Flower")
    assert RoundFolder.of(tmp_path, 1).run["cancelled"], "nobody wants its jobs"


def test_a_superlink_that_is_away_fails_nothing(rounds: Rounds, control: Control) -> None:
    rounds.start(RoundSpec())
    control.run = FederationError("away")
    rounds.poll()
    assert kinds_so_far(rounds) == ["started"]


def kinds_so_far(rounds: Rounds) -> list[str]:
    alive = iter([True, False])
    return [event.kind for event in rounds.follow(1, alive=lambda: next(alive))]


def test_a_round_that_the_server_died_in_starting_is_started_by_the_next(
    tmp_path: Path, rounds: Rounds, control: Control
) -> None:
    rounds.start(RoundSpec())
    (tmp_path / "0001" / "run.json").unlink()
    Rounds(tmp_path, control).poll()  # type: ignore[arg-type]
    assert rounds.get(1).status == "running"
    assert len(control.started) == 2


def test_a_folder_that_the_server_died_in_making_is_nobodys(tmp_path: Path, rounds: Rounds) -> None:
    (tmp_path / "0001").mkdir()
    assert rounds.all() == []
    assert rounds.start(RoundSpec()).id == 1


def test_a_torn_line_is_skipped(tmp_path: Path, rounds: Rounds) -> None:
    rounds.start(RoundSpec())
    path = tmp_path / "0001" / "events.jsonl"
    with path.open("ab") as file:
        file.write(b'{"time": 1, "kind": "re')
    assert [e.kind for e in EventFile(path).read()] == ["started"]


def test_there_is_no_round_nine(rounds: Rounds) -> None:
    with pytest.raises(NoSuchRoundError, match="round=9: there is no such round"):
        rounds.get(9)
