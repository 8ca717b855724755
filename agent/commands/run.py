"""``armada run``: an arm, its policy, its recorder and its place in a fleet, until stopped."""

from __future__ import annotations

import signal
from typing import Any

from agent.commands.base import Command
from agent.supervisor.forkable import stay_forkable


def main(argv: list[str]) -> int:
    """Run an agent in the foreground; a service manager or a terminal keeps it there."""
    # A stop that comes while this process still imports waits for the supervisor's handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    stay_forkable()
    from rich.console import Console

    from agent.commands.parsing import parse
    from robots.registry import register_all

    register_all()
    from agent.config import RunConfig
    from agent.supervisor.supervisor import Supervisor

    console = Console()
    config = parse(RunConfig, argv, prog="armada run")
    supervisor = Supervisor(config, console)
    status = supervisor.run()
    if supervisor.telemetry:
        console.print(summary(supervisor.telemetry))
    return status


def summary(telemetry: dict[str, Any]) -> Any:
    """A table of what a run did, from its last telemetry."""
    from rich.table import Table

    table = Table(title="This run", show_header=False)
    rows = (
        ("rate", f"{telemetry['rate_hz']:.2f} Hz"),
        ("ticks", f"{telemetry['ticks']}"),
        ("late ticks", f"{telemetry['late_ticks']}"),
        ("driven / starved ticks", f"{telemetry['driven_ticks']} / {telemetry['starved_ticks']}"),
        ("chunks", f"{telemetry['chunks']} ({telemetry['stale_chunks']} came too late)"),
        ("chunk latency p50 / p95", _ms(telemetry, "chunk_latency_ms_p50", "chunk_latency_ms_p95")),
        ("  by stage, p50", _stages(telemetry)),
        ("jumps where chunks join", _jumps(telemetry["seams"])),
        ("jumps within chunks", _jumps(telemetry["within_chunks"])),
        ("work per tick p50 / p99", _ms(telemetry, "work_ms_p50", "work_ms_p99")),
        ("episodes in the data set", f"{telemetry['episodes']}"),
        ("model", str(telemetry["digest"] or "none")[:19]),
        ("computed", str(telemetry["inference"] or "nowhere")),
    )
    for name, value in rows:
        table.add_row(name, value)
    return table


def _stages(telemetry: dict[str, Any]) -> str:
    stages = telemetry["chunk_stages_ms"]
    return ", ".join(f"{name} {at['p50']:.0f}" for name, at in stages.items()) or "–"


def _jumps(jumps: dict[str, Any]) -> str:
    """In the robot's units per tick, the worst joint's."""
    if not jumps["count"]:
        return "–"
    return f"{max(jumps['max']):.2f} at most, {max(jumps['rms']):.2f} RMS, of {jumps['count']}"


def _ms(telemetry: dict[str, Any], *names: str) -> str:
    values = [telemetry[name] for name in names]
    return " / ".join("–" if v is None else f"{v:.1f}" for v in values) + " ms"


COMMAND = Command(
    "run", "run an arm: policy, recorder, fleet (a daemon in the foreground)", main, 10
)
