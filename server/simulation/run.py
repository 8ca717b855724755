"""One simulation from beginning to end, as ``armada simulate`` and benchmarks run it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.federation.simulation.config import SimulationConfig
from robots.errors import FederationError
from server.simulation.bundle import build_simulation_bundle
from server.simulation.engine import Engine, engine
from server.simulation.events import REPORT, Events

_POLL_S = 0.2
_ASK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Resources:
    """How many clients, and what Ray gives each of them: so many run at once.

    Args:
        clients: How many there are.
        cpus: Processors of a client.
        gpus: Of a GPU; 0: none.
    """

    clients: int
    cpus: int = 1
    gpus: float = 0.0

    def to_federation_config(self) -> dict[str, int | float]:
        return {
            "num_supernodes": self.clients,
            "client_resources_num_cpus": self.cpus,
            "client_resources_num_gpus": self.gpus,
        }


def simulate(
    config: SimulationConfig,
    resources: Resources,
    *,
    show: Callable[[Mapping[str, Any]], None] = lambda event: None,
) -> dict[str, Any]:
    """Run it and return its report.

    Args:
        config: What to do; its paths are absolute and ``output`` is given.
        resources: Among whom.
        show: Gets each event.

    Raises:
        FederationError: it failed; says why and where the log is.
    """
    output = Path(config.output)
    events = Events(output)
    with engine(output / "log") as running:
        run_id = running.control.start_run(
            build_simulation_bundle(),
            config.to_run_config(),
            federation=resources.to_federation_config(),
        )
        try:
            while not _over(running, run_id):
                _wait(running, events, show)
            _wait(running, events, show)
        finally:
            _keep_log(running, run_id, output / "log" / "run.log")
        _check(running, run_id, output)
    report: dict[str, Any] = json.loads((output / REPORT).read_text(encoding="utf-8"))
    return report


def _wait(running: Engine, events: Events, show: Callable[[Mapping[str, Any]], None]) -> None:
    """Show what happens for a while; Flower logs each question, so it is asked seldom."""
    deadline = time.monotonic() + _ASK_S
    while time.monotonic() < deadline:
        running.look()
        for event in events.new():
            show(event)
        time.sleep(_POLL_S)


def _keep_log(running: Engine, run_id: int, path: Path) -> None:
    """What ServerApp and clients printed, as ``flwr log`` would show it."""
    if running.alive() and (status := running.control.status(run_id)) and status.over:
        path.write_text("".join(running.control.logs(run_id)), encoding="utf-8")


def _over(running: Engine, run_id: int) -> bool:
    if not running.alive():
        raise FederationError(
            f"Flower's SuperLink ended: {running.last_words()}",
            remedy=f"See {running.child.spec.log}",
        )
    status = running.control.status(run_id)
    return status is None or status.over


def _check(running: Engine, run_id: int, output: Path) -> None:
    """Refuse a run that failed: Flower's own status, and the report's."""
    status = running.control.status(run_id)
    path = output / REPORT
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if status is not None and status.sub_status == "completed" and report["status"] == "finished":
        return
    reason = report.get("reason") or (status.details if status else "") or running.last_words()
    raise FederationError(f"the simulation failed: {reason}", remedy=f"See {output / 'log'}")
