"""``armada round``: what it refuses, and how an event reads."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import grpc
import pytest

from robots.errors import ConfigError, FederationError
from server.commands.round import main
from server.commands.view import sentence
from server.registry.releases import Releases
from server.rounds.folder import RoundFolder
from server.rounds.rounds import Rounds
from server.rounds.spec import RoundSpec
from server.service import FleetService, serve
from tests.helpers import free_port, wait_until


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "round: needs a verb"),
        (["stop"], "round=stop: needs a verb"),
        (["start", "--train.steps=0"], "--train.steps=0: must be from 1 to 100000"),
        (["start", "--train.stepz=5"], "Did you mean --train.steps?"),
        (["start", "--rounds=0"], "--rounds=0: must be from 1 to 1000"),
        (["list", "--server=nowhere"], "--server=nowhere: must be host:port"),
        (["show", "1", "--root_certificates=/nowhere"], "--root_certificates=/nowhere"),
    ],
)
def test_a_mistake_is_one_line_with_its_flag(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        main(argv)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_that_does_not_answer_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(FederationError, match=f"no fleet server answers at {address}"):
        main(["list", f"--server={address}"])


def test_a_list_of_the_newest_says_how_to_get_at_an_older_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        folder = RoundFolder.of(tmp_path / "rounds", number)
        folder.path.mkdir(parents=True)
        folder.write_spec(RoundSpec())
        folder.events.emit("finished", releases=[])
    rounds = Rounds(tmp_path / "rounds", None)  # type: ignore[arg-type]
    address = f"127.0.0.1:{free_port()}"
    server = serve(FleetService(rounds, Releases(tmp_path / "releases")), address, None)

    main(["list", f"--server={address}"])
    assert "armada round show N" not in capsys.readouterr().out
    monkeypatch.setattr("server.rounds.service.NEWEST", 1)
    main(["list", f"--server={address}"])
    server.stop(None).wait()

    assert "armada round show N" in capsys.readouterr().out


class Followed:
    """A round that is followed by ``armada round show``."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = RoundFolder.of(root / "rounds", 1)
        self.folder.path.mkdir(parents=True)
        self.folder.write_spec(RoundSpec())
        self.folder.events.emit("started")
        rounds = Rounds(root / "rounds", None)  # type: ignore[arg-type]
        self.service = FleetService(rounds, Releases(root / "releases"))
        self.address = f"127.0.0.1:{free_port()}"
        self.ended: list[int | FederationError] = []
        self._capsys = capsys
        self._said: list[str] = []
        self._follower = threading.Thread(target=self._follow)
        self._server = self._serve()
        self._follower.start()
        self.hears(1)

    def hears(self, sequence: int) -> None:
        """Wait until each event up to this one was told once."""

        def told() -> bool:
            self._said.extend(self._capsys.readouterr().out.splitlines())
            sequences = [json.loads(line)["sequence"] for line in self._said]
            return sequences == list(range(1, sequence + 1))

        wait_until(told, what=f"event {sequence}")

    def stop_server(self) -> None:
        self._server.stop(None).wait()

    def start_server(self) -> None:
        self._server = self._serve()

    def join(self) -> None:
        self._follower.join(30)
        self.stop_server()

    def _serve(self) -> grpc.Server:
        return serve(self.service, self.address, None)

    def _follow(self) -> None:
        try:
            self.ended.append(main(["show", "1", f"--server={self.address}", "--json=true"]))
        except FederationError as error:
            self.ended.append(error)


def test_a_round_is_followed_over_a_server_that_is_started_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    followed = Followed(tmp_path, capsys)
    followed.stop_server()
    followed.folder.events.emit("waiting", robots=0, needed=1)
    followed.start_server()
    followed.hears(2)
    followed.folder.events.emit("finished", releases=[])
    followed.hears(3)
    followed.join()
    assert followed.ended == [0]


def test_a_server_that_stays_away_ends_the_command_and_not_the_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.commands.round._SILENCE_S", 0.0)
    followed = Followed(tmp_path, capsys)
    followed.stop_server()
    followed.join()
    (error,) = followed.ended
    assert str(error).endswith("The round goes on without you: armada round show 1")


def test_a_reply_reads_as_a_sentence() -> None:
    data = {
        "node": "7",
        "robot": "left",
        "samples": 40,
        "loss_first": 2.0,
        "loss_last": 1.0,
        "error_before": 0.5,
        "error_after": 0.25,
        "bytes_up": 283_840,
    }
    assert sentence("reply", data) == (
        "left: 40 frames, loss 2.0000 → 1.0000, held-out error 0.5000 → 0.2500, 283,840 B up"
    )
