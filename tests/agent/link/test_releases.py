"""Release notices and orders: each release is pulled once, one at a time, whatever it says."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.link.config import LinkConfig
from agent.link.messages import ReleaseNotice
from agent.link.releases import ReleasePuller
from robots.errors import LinkError
from tests.helpers import wait_until
from tests.mqtt import Broker, Control, LinkProcess, Listener, order

MakeLink = Callable[..., LinkProcess]

SCRIPT = """
import json, pathlib, sys, time
flags = dict((word[2:].split("=", 1) + [""])[:2] for word in sys.argv[2:])
runs = pathlib.Path(flags["state_dir"]) / "runs"
running = runs.with_name("running")
with runs.open("a") as file:
    file.write(json.dumps(flags) + "\\n")
assert not running.exists(), "two at a time"
running.touch()
said = {"event": "release_fetched", "bytes": 1000, "cause": "mine", "kind": 1}
print(json.dumps(said), flush=True)
print("no JSON"); print("[1]", flush=True)
while pathlib.Path(flags["state_dir"], "wait").exists():
    time.sleep(0.02)
running.unlink()
sys.exit(int(sys.argv[1]))
"""


class Puller:
    """A link whose ``release_command`` is a script that notes how it was called."""

    def __init__(self, make_link: MakeLink, broker: Broker, status: int, **config: object) -> None:
        command = [sys.executable, "-c", SCRIPT, str(status)]
        self._make = lambda: make_link(broker.port, release_command=command, **config)
        self.link = self._make()
        self.state = Path(self.link.config["state_dir"])
        self.link.start()

    def again(self) -> None:
        self.link = self._make().start()

    @property
    def runs(self) -> int:
        runs = self.state / "runs"
        return runs.read_text().count("\n") if runs.exists() else 0


@pytest.fixture
def pull(make_link: MakeLink, broker: Broker, listener: Listener) -> Callable[..., Puller]:
    def start(status: int, **config: object) -> Puller:
        puller = Puller(make_link, broker, status, **config)
        wait_until(lambda: listener.events("link_up"))
        return puller

    return start


def announce(listener: Listener, version: int) -> None:
    notice = {"version": version, "digest": f"sha256:{version}", "address": "127.0.0.1:29300"}
    listener.say("armada/test/release", notice, retain=True)


def settled(listener: Listener, puller: Puller, runs: int) -> None:
    """``runs`` pulls have ended, and an order that came after them was obeyed."""
    wait_until(lambda: puller.runs == runs)
    wait_until(lambda: not (puller.state / "running").exists())


@pytest.mark.parametrize(("status", "decision"), [(0, "taken"), (3, "refused")])
def test_a_release_is_pulled_once(
    pull: Callable[..., Puller], listener: Listener, status: int, decision: str
) -> None:
    puller = pull(status)
    announce(listener, 1)
    announce(listener, 1)
    settled(listener, puller, 1)
    decided = puller.state / "releases.json"
    wait_until(lambda: decided.exists() and decision in decided.read_text())
    announce(listener, 1)
    announce(listener, 2)  # what is pulled next is the second, not the first again
    settled(listener, puller, 2)
    assert '"version": "2"' in (puller.state / "runs").read_text().splitlines()[1]


def test_nor_after_a_restart(pull: Callable[..., Puller], listener: Listener) -> None:
    puller = pull(0)
    announce(listener, 1)
    decided = puller.state / "releases.json"
    wait_until(decided.exists)
    puller.link.end(signal.SIGKILL)
    puller.again()  # hears the retained notice
    wait_until(lambda: len(listener.events("link_up")) >= 2)
    announce(listener, 2)
    settled(listener, puller, 2)


def test_what_it_says_becomes_events_here_and_there(
    pull: Callable[..., Puller], listener: Listener, control: Control
) -> None:
    pull(0)
    announce(listener, 1)
    fetched = wait_until(lambda: listener.events("release_fetched"))[0]
    assert fetched["data"] == {"bytes": 1000, "cause": "mine", "kind": 1}
    wait_until(lambda: [e for e in control.told if e["event"] == "release_fetched"])


def test_one_at_a_time_and_only_the_newest_of_those_that_wait(
    pull: Callable[..., Puller], listener: Listener
) -> None:
    puller = pull(0)
    gate = puller.state / "wait"
    gate.touch()
    announce(listener, 1)
    wait_until(lambda: puller.runs == 1)
    announce(listener, 2)
    announce(listener, 3)
    gate.unlink()
    settled(listener, puller, 2)
    assert '"version": "3"' in (puller.state / "runs").read_text().splitlines()[1]


def test_what_could_not_be_fetched_is_tried_again(
    pull: Callable[..., Puller], listener: Listener
) -> None:
    puller = pull(75)
    announce(listener, 1)
    wait_until(lambda: puller.runs >= 2)


class Alone:
    """Pulls in this process, with a script that notes its server and goes on as it is told."""

    def __init__(
        self, folder: Path, goes_on: str, *, announced_at: str = "a:1", server: str = ""
    ) -> None:
        self._runs = folder / "runs"
        script = f"import os, sys, time; open({str(self._runs)!r}, 'a').write(sys.argv[2] + '\\n')"
        config = LinkConfig(
            robot="left", fleet="test", host="", port=1, control_socket="",
            state_dir=str(folder), dataset_root=str(folder),
            release_command=(sys.executable, "-c", f"{script}; {goes_on}"), server=server,
        )  # fmt: skip
        self.causes: list[str] = []
        self._puller = ReleasePuller(config, lambda kind, cause, **data: self.causes.append(cause))
        self.announce(announced_at)

    def announce(self, address: str) -> None:
        self._puller.notice(ReleaseNotice(version=1, digest="sha256:1", address=address))

    def order(self) -> None:
        self._puller.order(0)

    @property
    def asked(self) -> list[str]:
        return self._runs.read_text().split() if self._runs.exists() else []

    def until(self, condition: Callable[[], bool]) -> None:
        async def run() -> None:
            pulls = asyncio.create_task(self._puller.run())
            async with asyncio.timeout(60):
                while not condition():
                    await asyncio.sleep(0.02)
            pulls.cancel()
            await asyncio.gather(pulls, return_exceptions=True)

        asyncio.run(run())


def test_it_is_tried_until_it_succeeds_or_a_newer_one_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.link.releases._RETRIES_S", (0.0, 0.0))
    pulls = Alone(tmp_path, "sys.exit(75)")
    pulls.until(lambda: len(pulls.asked) > 4)
    assert set(pulls.asked) == {"--server=a:1"}


def test_what_is_tried_again_is_asked_of_whoever_announced_it_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.link.releases._RETRIES_S", (0.0,))
    pulls = Alone(tmp_path, "sys.exit(75)")

    def moved() -> bool:
        if pulls.asked:
            pulls.announce("b:2")
        return "--server=b:2" in pulls.asked

    pulls.until(moved)


def test_a_server_that_does_not_say_where_it_is_must_be_known(tmp_path: Path) -> None:
    pulls = Alone(tmp_path, "sys.exit(0)", announced_at="")
    pulls.announce("")
    assert pulls.causes == [
        "it doesn't say which server has it: give this robot --federation.server"
    ]
    with pytest.raises(LinkError, match="no release notice named one"):
        pulls.order()

    known = Alone(tmp_path, "sys.exit(0)", announced_at="", server="b:2")
    known.until((tmp_path / "releases.json").exists)
    assert (known.asked, known.causes) == (["--server=b:2"], [])


def test_one_that_hangs_is_killed_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.link.releases._SILENT_S", 1.5)
    monkeypatch.setattr("agent.link.releases._RETRIES_S", (0.0,))
    pulls = Alone(tmp_path, "time.sleep(600)")
    pulls.until(lambda: len(pulls.asked) > 1)
    assert pulls.causes[0] == "its pull said nothing for 1.5 s and was killed"


def test_one_that_says_that_it_is_alive_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.link.releases._SILENT_S", 6.0)
    alive = """print('{"event": "alive"}', flush=True)"""
    pulls = Alone(tmp_path, f"[({alive}, time.sleep(0.5)) for _ in range(16)]")
    pulls.until((tmp_path / "releases.json").exists)
    assert len(pulls.asked) == 1
    assert pulls.causes == []


def test_that_one_was_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.link.releases._RETRIES_S", (0.0,))
    pulls = Alone(tmp_path, f"os.kill(os.getpid(), {int(signal.SIGKILL)})")
    pulls.until(lambda: len(pulls.asked) > 1)
    assert pulls.causes[0] == "its pull was killed by signal 9"


def test_what_cannot_be_taken_is_not_tried_again(
    pull: Callable[..., Puller], listener: Listener
) -> None:
    puller = pull(2)
    announce(listener, 1)
    settled(listener, puller, 1)
    announce(listener, 1)
    announce(listener, 2)
    settled(listener, puller, 2)
    versions = [line.count('"version": "2"') for line in (puller.state / "runs").open()]
    assert versions == [0, 1]


def test_a_pull_knows_a_notice_from_an_order(
    pull: Callable[..., Puller], listener: Listener, control: Control
) -> None:
    """Anybody on the broker can announce an old release; only the owner can want it back."""
    puller = pull(0)
    announce(listener, 2)
    settled(listener, puller, 1)
    order(listener, "pull", version=1)
    settled(listener, puller, 2)
    runs = (puller.state / "runs").read_text().splitlines()
    assert ["announced" in run for run in runs] == [True, False]


def test_a_pull_ends_with_its_link(pull: Callable[..., Puller], listener: Listener) -> None:
    """A new link would start a second one beside it."""
    puller = pull(0)
    (puller.state / "wait").touch()
    announce(listener, 1)
    wait_until(lambda: puller.runs == 1)
    assert puller.link.process is not None
    children = Path(f"/proc/{puller.link.process.pid}/task/{puller.link.process.pid}/children")
    child = Path("/proc") / children.read_text().split()[0]
    puller.link.end(signal.SIGKILL)
    wait_until(lambda: not child.exists())


def test_a_command_that_is_not_there(
    make_link: MakeLink, broker: Broker, listener: Listener
) -> None:
    link = make_link(broker.port, release_command=["/no/such/command"]).start()
    wait_until(lambda: listener.events("link_up"))
    announce(listener, 1)
    failed = wait_until(lambda: listener.events("release_failed"))[0]
    assert "/no/such/command can't be run" in failed["cause"]
    assert link.alive


def test_the_operator_orders_one_anew(
    pull: Callable[..., Puller], listener: Listener, control: Control
) -> None:
    puller = pull(3)
    announce(listener, 1)
    settled(listener, puller, 1)
    reply = order(listener, "pull", version=1)
    assert reply["result"] == {"server": "127.0.0.1:29300"}  # the notice named it
    settled(listener, puller, 2)


def test_the_server_that_was_configured_is_asked(
    pull: Callable[..., Puller], listener: Listener
) -> None:
    puller = pull(0, server="10.0.0.1:1")
    announce(listener, 1)
    wait_until(lambda: puller.runs == 1)
    assert '"server": "10.0.0.1:1"' in (puller.state / "runs").read_text()
