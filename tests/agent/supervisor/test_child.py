"""Supervised processes are started, watched, restarted and ended; locks name who holds them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from agent.supervisor.child import Child, ChildSpec, Exit
from agent.supervisor.events import EventLog
from agent.supervisor.locks import ports, take, take_port
from robots.errors import ConfigError, DeviceError
from robots.sim import SO101SimConfig
from tests.helpers import wait_until


def child(tmp_path: Path, code: str) -> Child:
    argv = [sys.executable, "-c", code]
    return Child(ChildSpec(name="test", argv=argv, log=tmp_path / "log"))


def ended(process: Child) -> Exit:
    return wait_until(process.poll, timeout_s=30)  # type: ignore[return-value]


def test_how_it_ended_is_told_once(tmp_path: Path) -> None:
    process = child(tmp_path, "import sys; print('last words'); sys.exit(4)")
    process.start()
    assert str(ended(process)) == "exited with status 4"
    assert process.poll() is None
    assert "last words" in (tmp_path / "log").read_text()


def test_a_signal_is_named(tmp_path: Path) -> None:
    process = child(tmp_path, "import time; time.sleep(600)")
    process.start()
    process.signal(signal.SIGKILL)
    assert str(ended(process)) == "was killed by SIGKILL"


def test_it_is_nice_from_its_first_instruction_on(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import os; print('nice', os.nice(0))"]
    process = Child(ChildSpec(name="test", argv=argv, log=tmp_path / "log", nice=5))
    process.start()
    ended(process)
    assert f"nice {os.nice(0) + 5}" in (tmp_path / "log").read_text()


def test_one_that_proved_itself_comes_back_at_once(tmp_path: Path) -> None:
    process = child(tmp_path, "pass")
    for _ in range(4):
        process.start()
        ended(process)
    process.proved()
    process.start()
    ended(process)
    wait_until(process.restart_when_due, timeout_s=8.0)  # Else it would be 10 s.
    ended(process)


def test_one_that_lived_long_comes_back_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.supervisor.child._STABLE_S", 0.0)
    process = child(tmp_path, "pass")
    process.start()
    ended(process)
    wait_until(process.restart_when_due, timeout_s=10.0)
    ended(process)


def test_one_that_does_not_prove_itself_in_time_is_overdue_once_a_start(tmp_path: Path) -> None:
    process = child(tmp_path, "import time; time.sleep(600)")
    assert not process.overdue(0.0)
    for _ in range(2):
        process.start()
        assert not process.overdue(600.0)
        wait_until(lambda: process.overdue(0.0))
        assert not process.overdue(0.0)
        process.end(grace_s=30.0)
    process.start()
    process.proved()
    assert not process.overdue(0.0)
    process.end(grace_s=30.0)


def test_it_comes_back_later_and_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.supervisor.child._BACK_OFF_S", (0.02, 0.1, 0.2, 0.5, 1.0, 3.0))
    process = child(tmp_path, "pass")
    planned = []
    for _ in range(3):
        process.start()
        ended(process)
        planned.append(process._not_before - time.monotonic())
        wait_until(process.restart_when_due)
        ended(process)
    assert process.restarts == 3
    # What is left of 0.02 s and of 1 s when it is looked at.
    assert planned[0] <= 0.02 < planned[-1]


def test_what_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = (
        "import signal, time, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True); time.sleep(600)"
    )
    process = child(tmp_path, code)
    process.start()
    wait_until(lambda: "deaf" in (tmp_path / "log").read_text(), timeout_s=30)
    process.end(grace_s=0.2)
    assert not process.alive


def test_a_stop_that_was_sent_to_every_process_ends_none(tmp_path: Path) -> None:
    code = "import time; print('up', flush=True); time.sleep(600)"
    process = child(tmp_path, code)
    process.start()
    wait_until(lambda: "up" in (tmp_path / "log").read_text(), timeout_s=30)
    process.signal(signal.SIGUSR1)
    ended = process.end(grace_s=30.0)
    assert ended is not None
    assert ended.status == -signal.SIGTERM


def test_control_hears_a_stop_from_before_it_could(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "print('up', flush=True); time.sleep(0.5)\n"
        "signal.signal(signal.SIGUSR1, lambda *a: sys.exit(7))\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1}); time.sleep(600)"
    )
    argv = [sys.executable, "-c", code]
    process = Child(ChildSpec(name="c", argv=argv, log=tmp_path / "log", hears_stops=True))
    process.start()
    process.tell(signal.SIGUSR1)
    assert ended(process).status == 7


def test_it_runs_without_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit(5)"]
    process = Child(ChildSpec(name="c", argv=argv, log=tmp_path))
    process.start()
    assert ended(process).status == 5


def test_what_cannot_be_started_now_is_tried_later(tmp_path: Path) -> None:
    process = Child(ChildSpec(name="c", argv=[str(tmp_path / "none")], log=tmp_path / "log"))
    assert not process.try_start()
    assert not process.restart_when_due()
    wait_until(lambda: process._not_before < time.monotonic())
    assert not process.restart_when_due()
    assert not process.alive
    assert process.restarts == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_it_does_not_outlive_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from agent.supervisor.child import Child, ChildSpec\n"
        "argv = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        f"c = Child(ChildSpec(name='c', argv=argv, log=Path({str(tmp_path / 'c')!r})))\n"
        "c.start(); print(c.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()

    def gone() -> bool:
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().split()[2] == "Z"

    wait_until(gone, timeout_s=30)


def test_a_second_taker_is_told_who_was_first(tmp_path: Path) -> None:
    held = take(tmp_path / "lock", field="--state_dir", value=tmp_path, message="in use")
    with pytest.raises(DeviceError, match=rf"in use \(pid {os.getpid()}\)"):
        take(tmp_path / "lock", field="--state_dir", value=tmp_path, message="in use")
    os.close(held)
    os.close(take(tmp_path / "lock", field="--state_dir", value=tmp_path, message="in use"))


def test_a_port_is_locked_by_device_not_by_name(tmp_path: Path) -> None:
    device = tmp_path / "ttyACM0"
    device.touch()
    (tmp_path / "by-id").symlink_to(device)
    held = take_port("--robot.port", str(device))
    with pytest.raises(DeviceError, match="in use by another agent"):
        take_port("--robot.port", str(tmp_path / "by-id"))
    os.close(held)


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--robot\.port=.*no such port"):
        take_port("--robot.port", str(tmp_path / "none"))


def test_the_ports_of_two_arms_are_found() -> None:
    from lerobot.robots.bi_so_follower import BiSOFollowerConfig
    from lerobot.robots.so_follower import SOFollowerConfig

    two = BiSOFollowerConfig(
        left_arm_config=SOFollowerConfig(port="/dev/l"),
        right_arm_config=SOFollowerConfig(port="/dev/r"),
    )
    assert sorted(port for _, port in ports(two, "--robot")) == ["/dev/l", "/dev/r"]
    assert list(ports(SO101SimConfig(), "--robot")) == []


def test_events_are_lines_of_json_and_readable(tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    log = EventLog(tmp_path / "events.jsonl", console)
    digest = "sha256:" + "ab" * 32
    log.write({"event": "stopped", "cause": "a [test]", "time": 0.0, "data": {"digest": digest}})
    log.close()
    (line,) = (tmp_path / "events.jsonl").read_text().splitlines()
    assert json.loads(line)["data"]["digest"] == digest
    text = console.export_text()
    assert "a [test]" in text
    assert "abababababab" in text
    assert digest not in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_is_said_once_and_ends_nothing() -> None:
    console = Console(record=True, width=200)
    log = EventLog(Path("/dev/full"), console)
    for cause in ("one", "two"):
        log.write({"event": "stopped", "cause": cause, "time": 0.0, "data": {}})
    log.close()
    text = console.export_text()
    assert text.count("the event log can't be written: No space left on device") == 1
    assert "two" in text
