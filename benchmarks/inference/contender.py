"""One contender, in a process of its own, on an arm of its own.

``python -m benchmarks.inference.contender JOB OUT`` (JSON, a file). The measurement ends by the
clock, whatever the contender hangs in: then the file is written, the contender is asked to end, and
after a while the process ends without it.

The emulator stands for hardware, which no load slows: it runs at high priority.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.supervisor.child import die_with_parent
from benchmarks.inference.job import Job, Log
from robots.emulator.journal import read_journal

CONTENDERS = {
    "LeRobot RTC": "benchmarks.inference.run_rtc",
    "LeRobot client and server": "benchmarks.inference.run_client",
    "Armada": "benchmarks.inference.run_armada",
}

_START_S = 240.0
_GRACE_S = 10.0
_STARTS = 3


@dataclasses.dataclass(frozen=True)
class Run:
    """What came of a job.

    Args:
        job: It.
        log: What the contender's hooks told.
        times, goals: (N,) s and (N, 6) ticks of the servos: what reached the bus, all the time.
    """

    job: Job
    log: Log
    times: NDArray[np.float64]
    goals: NDArray[np.float64]


def drive(job: Job) -> Run:
    """Run a job in a process.

    Raises:
        RuntimeError: the contender doesn't start, with the end of what it said. LeRobot connects to
            servos without a second try, which a busy machine may spoil: it has several here.
    """
    for tries_left in reversed(range(_STARTS)):
        with tempfile.TemporaryDirectory(prefix="contender-") as folder:
            out, said = Path(folder) / "run.json", Path(folder) / "said"
            _run(job, out, said)
            if out.is_file():
                times, goals = read_journal(out.with_suffix(".goals"))
                return Run(job, Log(**json.loads(out.read_text())), times, goals)
            if not tries_left:
                raise RuntimeError(f"{job.contender}: {said.read_text(errors='replace')[-3000:]}")
    raise AssertionError


def _run(job: Job, out: Path, said: Path) -> None:
    with said.open("wb") as log:
        # A folder of its own: LeRobot's async modules write logs where they are.
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(job)), str(out)],
            stdout=log,
            stderr=log,
            cwd=out.parent,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        process.wait(_START_S + job.settle_s + job.seconds + 2 * _GRACE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def main(argv: list[str]) -> int:
    """Run one contender."""
    # Imported here: the parent needs none of it.
    from benchmarks.priority import nice
    from benchmarks.rig import Power

    job, out = Job(**json.loads(argv[0])), Path(argv[1])
    log, over = Log(), threading.Event()
    run: Any = importlib.import_module(CONTENDERS[job.contender]).run
    with nice(-15):
        power = Power(f"drive-{os.getpid()}", journal=out.with_suffix(".goals"))
        power.__enter__()
    threading.Thread(target=_measure, args=(job, log, over, out), daemon=True).start()
    try:
        run(power, job, log, over)
    except Exception as error:
        if not log.chunks or log.end:
            raise
        # That it ends is a result.
        log.died = f"{type(error).__name__}: {error}"
        log.begin, log.end = log.begin or log.chunks[0], time.monotonic()
        _write(log, out)
    finally:
        power.__exit__(None, None, None)
    # What LeRobot leaves running is not waited for.
    os._exit(0)


def _measure(job: Job, log: Log, over: threading.Event, out: Path) -> None:
    if log.first.wait(_START_S):
        time.sleep(job.settle_s)
        log.begin = time.monotonic()
        for at_s, command in job.script:
            time.sleep(max(0.0, log.begin + at_s - time.monotonic()))
            log.proxy.append((time.monotonic(), _tell(job.proxy, command)))
        time.sleep(max(0.0, log.begin + job.seconds - time.monotonic()))
        if log.died:
            return
        log.end = time.monotonic()
        _write(log, out)
    over.set()
    time.sleep(_GRACE_S)
    os._exit(3)


def _write(log: Log, out: Path) -> None:
    text = json.dumps(dataclasses.asdict(log))
    temporary = out.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.rename(out)


def _tell(proxy: str, command: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.proxy import tell

    return tell(Path(proxy), **command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
