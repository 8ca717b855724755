"""A forked child is what ``python -m`` would have made of it, but for what it needn't import.

The supervisors here are processes of their own: real forks, signals and ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.supervisor.forkable import inherited
from tests.helpers import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux's are forked")

_SUPERVISOR = """
import os, signal, sys, threading, time
from pathlib import Path
from agent.supervisor.child import Child, ChildSpec
from agent.supervisor.forkable import stay_forkable, why_not
import wave

# Commands that other tests have called may have left theirs to this process.
signal.pthread_sigmask(signal.SIG_SETMASK, ())

def start(module="probe", *words, **fields):
    argv = [sys.executable, "-m", module, *words]
    log = Path(fields.pop("log", "log"))
    child = Child(ChildSpec(name="c", argv=argv, log=log, forks=True, **fields))
    child.start()
    return child

def end(child):
    ended = child.wait(60)
    print(ended.status)
"""

_TELLS = """
import json, os, signal, sys
print(json.dumps({
    "forked": "wave" in sys.modules,
    "name": __name__,
    "argv": sys.argv[1:],
    "opened": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
    "stdin": sys.stdin.read(),
    "leads": os.getsid(0) == os.getpid(),
    "nice": os.nice(0),
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "stop": signal.getsignal(signal.SIGUSR1),
    "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "environment": dict(os.environ),
    "path": sys.path[0],
}))
"""

type Supervise = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def supervise(tmp_path: Path) -> Supervise:
    """Run a supervisor with this body, beside a module ``probe`` with that one."""

    def run(body: str, probe: str = _TELLS) -> subprocess.CompletedProcess[str]:
        (tmp_path / "probe.py").write_text(probe)
        return subprocess.run(
            [sys.executable, "-c", _SUPERVISOR + body],
            cwd=tmp_path,
            # A command that another test called in this process has left its own here.
            env=inherited(),
            stdin=subprocess.PIPE,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )

    return run


def told(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "log").read_text())
    return found


def test_it_is_what_a_new_process_would_be(supervise: Supervise, tmp_path: Path) -> None:
    body = """
signal.signal(signal.SIGTERM, lambda *a: print("handled", flush=True))
signal.signal(signal.SIGINT, lambda *a: None)
kept, closed = os.open("kept", os.O_CREAT), os.open("closed", os.O_CREAT)
os.environ["HAD"] = "1"
print(kept)
end(start("probe", "--a=1", "b c", keep=(kept,), env={"GIVEN": "2"}, nice=3))
os.kill(os.getpid(), signal.SIGTERM)
"""
    kept, status, handled = supervise(body).stdout.split()
    assert (status, handled) == ("0", "handled")
    there = told(tmp_path)
    assert there["forked"]
    assert (there["name"], there["argv"]) == ("__main__", ["--a=1", "b c"])
    assert there["opened"] == [0, 1, 2, int(kept)]
    assert there["stdin"] == ""
    assert there["leads"]
    assert there["nice"] == os.nice(0) + 3
    assert there["path"] == str(tmp_path)
    assert there["environment"]["HAD"] == "1"
    assert there["environment"]["GIVEN"] == "2"
    # What the supervisor handles has its default action; a stop for every process goes unheard.
    assert there["blocked"] == []
    assert there["stop"] == signal.SIG_IGN
    assert there["interrupt"]


def test_control_has_a_stop_wait(supervise: Supervise, tmp_path: Path) -> None:
    probe = (
        "import signal, sys\n"
        "signal.sigwait([signal.SIGUSR2])\n"
        "signal.signal(signal.SIGUSR1, lambda *a: sys.exit(7))\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})\n"
        "signal.pause()"
    )
    body = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
child = start(hears_stops=True)
child.tell(signal.SIGUSR1)
child.tell(signal.SIGUSR2)
end(child)
"""
    assert supervise(body, probe).stdout.split() == ["7"]


@pytest.mark.parametrize(
    ("probe", "status", "words"),
    [
        ("raise SystemExit(4)", 4, ""),
        ("raise SystemExit('last words')", 1, "last words"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("raise KeyboardInterrupt", -signal.SIGINT, ""),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import atexit; atexit.register(print, 'at the end')", 0, "at the end"),
        (
            "import threading; threading.Timer(0.2, print, ('a thread ends first',)).start()",
            0,
            "a thread ends first",
        ),
    ],
)
def test_its_end_is_told(
    supervise: Supervise, tmp_path: Path, probe: str, status: int, words: str
) -> None:
    done = supervise("print('once')\nend(start())\nprint(threading.active_count())", probe)
    assert done.stdout.split() == ["once", str(status), "1"]
    assert words in (tmp_path / "log").read_text()


def test_it_is_known_by_its_own_command_line(supervise: Supervise) -> None:
    body = """
import psutil
child = start("probe", "--a=" + 5000 * "1")
while "probe" not in psutil.Process(child.pid).cmdline(): time.sleep(0.01)
print(psutil.Process(child.pid).cmdline() == list(child.spec.argv))
print(child.end(5).status)
"""
    out = supervise(body, "import time; time.sleep(600)").stdout
    assert out.split() == ["True", str(-signal.SIGTERM)]


def test_a_kernel_that_cannot_point_to_a_new_command_line_shows_its_beginning() -> None:
    code = (
        "from agent.supervisor import cmdline; import psutil\n"
        "cmdline._write_over(b'python\\0-m\\0other\\0', *cmdline._addresses()[0])\n"
        "print(*psutil.Process().cmdline())"
    )
    words = [sys.executable, "-c", code, "much room"]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["python", "-m", "other"]


def test_one_that_has_threads_is_not_forked_and_says_so_once(
    supervise: Supervise, tmp_path: Path
) -> None:
    body = """
threading.Thread(target=threading.Event().wait, daemon=True).start()
os.environ["HAD"] = "1"
end(start(env={"GIVEN": "2"}))
end(start(log="another"))
"""
    done = supervise(body)
    assert done.stdout.split() == ["0", "0"]
    assert done.stderr.count("start afresh and slowly") == 1
    assert "it has 2 threads" in done.stderr
    assert not told(tmp_path)["forked"]
    assert told(tmp_path)["environment"]["GIVEN"] == "2"


def test_the_real_supervisor_can_be_forked(supervise: Supervise, tmp_path: Path) -> None:
    """With all that it imports; no two children draw the same, and none keeps what was set for
    the supervisor alone."""
    body = """
stay_forkable()
import agent.supervisor.supervisor
from robots.registry import register_all
register_all()
print(why_not())
for log in "one", "two": end(start(log=log, env={"HF_HUB_OFFLINE": "1"}))
"""
    probe = (
        "import json, os, random, sys\n"
        "imported = {'torch', 'lerobot', 'transformers', 'datasets'} <= sys.modules.keys()\n"
        "import datasets, huggingface_hub, numpy, torch\n"
        "torch.ones(3000, 300).T @ torch.ones(3000, 300)\n"
        "print(json.dumps([imported, huggingface_hub.constants.is_offline_mode(),\n"
        " datasets.config.HF_HUB_OFFLINE, 'JE_ARROW_MALLOC_CONF' in os.environ,\n"
        " random.random(), numpy.random.rand(), torch.rand(1).item()]))"
    )
    assert supervise(body, probe).stdout.split() == ["None", "0", "0"]
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one", "two"))
    assert one[:4] == two[:4] == [True, True, True, False]
    assert all(a != b for a, b in zip(one[4:], two[4:], strict=True))


def test_it_does_not_outlive_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text("import time; time.sleep(600)")
    body = _SUPERVISOR + "print(start().pid, flush=True); time.sleep(600)"
    words = [sys.executable, "-c", body]
    supervisor = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()

    def gone() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_until(gone, timeout_s=30)
