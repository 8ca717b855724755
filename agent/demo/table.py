"""The table at the end of the demonstration."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from agent.demo.play import Outcome, Result


def rows(result: Result) -> list[tuple[str, list[str]]]:
    """(what, one value a robot), measured while the arms ran the release where it says so."""
    return [(name, [read(outcome) for outcome in result.outcomes]) for name, read in _ROWS]


def table(result: Result) -> Table:
    """For a terminal."""
    shown = Table(title="What the robots did", title_justify="left")
    shown.add_column("")
    for outcome in result.outcomes:
        shown.add_column(outcome.actor.name, justify="right")
    for name, values in rows(result):
        shown.add_row(name, *values)
    release = result.manifest
    shown.caption = (
        f"release {release['version']} of round {release['round']}: {release['samples']} frames of "
        f"{len(release['participants'])} robots, {release['digest'][:19]}"
    )
    return shown


def _delta(outcome: Outcome, name: str) -> int:
    return int(outcome.after.get(name, 0)) - int(outcome.before.get(name, 0))


def _rate(outcome: Outcome) -> str:
    seconds = outcome.after.get("time", 0.0) - outcome.before.get("time", 0.0)
    if seconds <= 0:
        return "–"
    return f"{_delta(outcome, 'ticks') / seconds:.2f} of {outcome.actor.fps} Hz"


def _count_of(name: str, total: str) -> Any:
    def read(outcome: Outcome) -> str:
        return f"{_delta(outcome, name)} of {_delta(outcome, total)}"

    return read


def _latency(outcome: Outcome) -> str:
    p50, p95 = (outcome.after.get(f"chunk_latency_ms_{q}") for q in ("p50", "p95"))
    return "–" if p50 is None else f"{p50:.0f} / {p95:.0f} ms"


def _error(outcome: Outcome) -> str:
    data = outcome.decision.get("data", {})
    before, after = data.get("error_current"), data.get("error_candidate")
    if before is None or after is None:
        return "– (no held-out episode)"
    return f"{before:.3f} → {after:.3f}"


def _goals(outcome: Outcome) -> str:
    return f"{outcome.hits} of {outcome.goals}" if outcome.actor.records else "–"


def _loss(outcome: Outcome) -> str:
    trained = outcome.trained
    if not trained:
        return "–"
    return f"{trained['loss_first']:.3f} → {trained['loss_last']:.3f}"


def _down(outcome: Outcome) -> str:
    fetched = [e["data"]["bytes"] for e in outcome.events if e["event"] == "release_fetched"]
    return _kilobytes(sum(fetched)) if fetched else "–"


def _up(outcome: Outcome) -> str:
    sent = outcome.trained.get("bytes_up")
    return "–" if sent is None else _kilobytes(sent)


def _kilobytes(count: int) -> str:
    return f"{count / 1000:.0f} kB"


_ROWS: tuple[tuple[str, Any], ...] = (
    ("rate held", _rate),
    ("late ticks", _count_of("late_ticks", "ticks")),
    ("starved ticks", _count_of("starved_ticks", "ticks")),
    ("chunk latency p50 / p95", _latency),
    ("late ticks, whole run", lambda o: f"{o.after.get('late_ticks')} of {o.after.get('ticks')}"),
    ("episodes", lambda o: str(o.actor.episodes)),
    ("training loss", _loss),
    ("frames trained on", lambda o: str(o.trained.get("samples", "–"))),
    ("bytes down", _down),
    ("bytes up", _up),
    ("model on the robot", lambda o: str(o.after.get("digest", "–"))[7:19]),
    ("held-out error, base → release", _error),
    ("goals reached with the release", _goals),
)
