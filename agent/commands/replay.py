"""``armada replay DATASET``: a recording in place of an arm, or its actions on one.

With a policy: what would it have done? The same processes as ``armada run``, in real time:
observations come when they were recorded, the policy is asked as on an arm, and its actions are
compared with the recorded ones, open loop.

With an arm: the recorded actions are sent through the guard, and where the arm came to is compared
with where the recorded one was.
"""

from __future__ import annotations

import json
import tempfile
from typing import Any

from agent.commands.base import Command
from agent.supervisor.forkable import stay_forkable

_LEROBOT = {
    "--dataset.repo_id": "--dataset",
    "--dataset.root": "--dataset",
    "--dataset.episode": "--episode",
}
"""Flags of ``lerobot-replay``; a root comes before a name."""


def main(argv: list[str]) -> int:
    """Replay, then print a table of the episodes."""
    stay_forkable()
    from rich.console import Console

    from agent.commands.parsing import parse
    from robots.registry import register_all

    register_all()
    from agent.replay_config import ReplayConfig
    from agent.supervisor.supervisor import Supervisor
    from robots.replay.info import read_info
    from robots.replay.locate import locate

    console = Console()
    words = from_lerobot(argv)
    config = parse(ReplayConfig, words, prog="armada replay", positional=("dataset",))
    info = read_info(locate(config.dataset))
    with tempfile.TemporaryDirectory(prefix="armada-replay-") as scratch:
        run = config.to_run(info, scratch)
        supervisor = Supervisor(run, Console(stderr=True) if config.json else console)
        status = supervisor.run()
    report: dict[str, Any] = {
        "dataset": config.dataset,
        "policy": config.policy.path,
        "robot": config.robot.type if config.robot is not None else None,
        "run": supervisor.telemetry,
    }
    report["episodes"] = supervisor.replayed
    if config.json:
        console.print_json(json.dumps(report))
    elif supervisor.replayed:
        console.print(_table(report) if config.robot is None else _reached(report))
    # Interrupted before the end: what was played is shown, and the status says so.
    return status or int(not supervisor.replayed)


def from_lerobot(argv: list[str]) -> list[str]:
    """The flags of ``lerobot-replay`` as ours."""
    words: list[str] = []
    rooted = any(word.partition("=")[0] == "--dataset.root" for word in argv)
    rest = iter(argv)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag not in _LEROBOT:
            words.append(word)
            continue
        value = value if equals else next(rest, "")
        if not (rooted and flag == "--dataset.repo_id"):
            words.append(f"{_LEROBOT[flag]}={value}")
    return words


def _reached(report: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(
        "episode", "joint", "largest deviation", "at", "mean",
        title=f"{report['dataset']} sent to {report['robot']}: recorded and reached state, in the "
        "robot's units",
    )  # fmt: skip
    for row in report["episodes"]:
        for joint, largest in row["largest_by_joint"].items():
            table.add_row(
                str(row["episode"]),
                joint,
                f"{largest:.2f}",
                f"{row['at_s_by_joint'][joint]:.2f} s",
                f"{row['mean_by_joint'][joint]:.2f}",
            )
    run = report["run"]
    trips = run.get("guard_trips") or {}
    said = ", ".join(f"{rule} {ticks}" for rule, ticks in trips.items()) or "nothing"
    table.caption = f"the guard changed: {said} (ticks); {run.get('late_ticks', 0)} late ticks"
    return table


def _table(report: dict[str, Any]) -> Any:
    from rich.table import Table

    run = report["run"]
    table = Table(
        "episode", "ticks", "late", "starved", "mean abs error", "worst joint",
        title=f"{report['policy']} on {report['dataset']}, open loop, in the robot's units",
    )  # fmt: skip
    for row in report["episodes"]:
        errors = row["error_by_joint"]
        mean = "–" if errors is None else f"{sum(errors.values()) / len(errors):.2f}"
        worst = "–"
        if errors is not None:
            joint = max(errors, key=errors.get)
            worst = f"{joint} {errors[joint]:.2f}"
        table.add_row(
            str(row["episode"]),
            str(row["ticks"]),
            str(row["late_ticks"]),
            str(row["starved_ticks"]),
            mean,
            worst,
        )
    p50, p95 = run.get("chunk_latency_ms_p50"), run.get("chunk_latency_ms_p95")
    latency = "no chunk arrived" if p50 is None else f"p50 {p50:.0f} ms, p95 {p95:.0f} ms"
    if any(row["starved_ticks"] > row["ticks"] / 2 for row in report["episodes"]):
        table.title = f"{table.title}" + (
            "\nMost ticks had no planned action: chunks came later than what they were for. Slow "
            "the recording down (--speed=0.25), or compare off line (armada evaluate)."
        )
    table.caption = f"{run.get('chunks', 0)} chunks: {latency}; {run.get('rate_hz', 0):.2f} Hz held"
    return table


COMMAND = Command("replay", "a recording in place of an arm, or its actions on one", main, 11)
