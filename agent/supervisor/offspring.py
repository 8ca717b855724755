"""A forked copy of the supervisor becomes the process that ``python -m module …`` would be.

What a new interpreter would have is set anew: descriptors, environment, streams, logging, seeds and
the command line that ``ps`` shows. What modules keep is as the import left it: the supervisor does
nothing with them but read configurations.
"""

from __future__ import annotations

import atexit
import logging
import os
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from agent.supervisor import cmdline
from agent.supervisor.forkable import inherited

_STREAMS = 3


def become(
    argv: Sequence[str], *, env: Mapping[str, str], log: int, keep: Sequence[int]
) -> NoReturn:
    """Run a module to its end, and end this process with its status.

    Args:
        argv: ``python -m module …``.
        env: Added to the environment.
        log: Descriptor that becomes stdout and stderr.
        keep: Descriptors that stay open.
    """
    _, _, module, *words = argv
    status = 1
    try:
        _own_descriptors(log, keep)
        _own_environment({**inherited(), **env})
        _own_streams()
        _own_seeds()
        cmdline.show(argv)
        sys.argv = [module, *words]
        if not sys.flags.safe_path:
            sys.path[0] = str(Path.cwd())
        if not hasattr(sys.modules.get(module), "__path__"):
            # It runs as __main__, like any that was imported by nobody.
            sys.modules.pop(module, None)
        status = _run(module)
    finally:
        os._exit(status)


def _run(module: str) -> int:
    """The exit status, after all that an interpreter does at its end."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = _status(end.code)
    except KeyboardInterrupt:
        status = -signal.SIGINT
    except BaseException as error:  # noqa: BLE001 - as an interpreter does
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    # Private, both, and what multiprocessing calls or would: there is no public way to end an
    # interpreter in order without unwinding the stack that it was forked on.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def _status(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)  # noqa: T201 - as an interpreter does
    return 1


def _own_descriptors(log: int, keep: Sequence[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    begin = _STREAMS
    for kept in sorted(keep):
        os.set_inheritable(kept, True)
        os.closerange(begin, kept)
        begin = kept + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX"))
    signal.set_wakeup_fd(-1)


def _own_environment(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    if environment.get("HF_HUB_OFFLINE") == "1":
        # Read at the import, which is over.
        for name in ("huggingface_hub.constants", "datasets.config"):
            if (module := sys.modules.get(name)) is not None:
                vars(module)["HF_HUB_OFFLINE"] = True


def _own_streams() -> None:
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", buffering=1, errors="backslashreplace", closefd=False
    )
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)


def _own_seeds() -> None:
    """Python's own is new after every fork; these would draw what the copy beside it draws."""
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    if (torch := sys.modules.get("torch")) is not None:
        torch.default_generator.seed()
