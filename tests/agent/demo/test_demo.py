"""The demonstration's parts; `make demo` itself is the whole of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agent.data.open import open_info
from agent.demo.actors import Actor, emulated, recorded, train_report
from agent.demo.config import DemoConfig
from agent.demo.play import Outcome, Result
from agent.demo.report import write_report
from agent.demo.stage import Stage, StageError, free_ports
from agent.demo.table import rows, table
from robots.errors import ConfigError, DataError


def result(tmp_path: Path) -> Result:
    def outcome(name: str, **decision: float) -> Outcome:
        def telemetry(t: float, ticks: int, latency: float | None) -> dict[str, Any]:
            return {
                "time": t,
                "heard": t,
                "ticks": ticks,
                "late_ticks": 1,
                "starved_ticks": 2,
                "rate_hz": 20.0,
                "chunk_latency_ms_p50": latency,
                "chunk_latency_ms_p95": latency,
                "digest": "sha256:" + "cd" * 32,
            }

        actor = Actor(name, tmp_path / name, (), 20, 5, records=True)
        return Outcome(
            actor,
            before=telemetry(100.0, 0, None),
            after=telemetry(110.0, 200, 80.0),
            goals=4,
            hits=1,
            decision={"data": decision},
            trained={
                "samples": 480,
                "loss_first": 2.0,
                "loss_last": 0.5,
                "bytes_up": 284_000,
                "bytes_down": 284_000,
            },
            local={"losses": [2.0, 1.0, 0.5]},
            series=[telemetry(100.0, 0, None), telemetry(110.0, 200, 80.0)],
            events=[{"event": "policy_switched", "cause": "<b>", "time": 105.0, "robot": name}],
        )

    manifest = {
        "version": 1,
        "round": 1,
        "samples": 960,
        "participants": [{}, {}],
        "digest": "sha256:" + "cd" * 32,
        "base_digest": "sha256:" + "ef" * 32,
    }
    acts = [("one", 95.0, 100.0), ("two", 100.0, 110.0)]
    compared = outcome("left", error_current=0.9, error_candidate=0.4)
    return Result("two arms", [compared, outcome("right")], manifest, acts)


def test_the_table_tells_what_was_measured(tmp_path: Path) -> None:
    told = dict(rows(result(tmp_path)))
    assert told["rate held"] == ["20.00 of 20 Hz", "20.00 of 20 Hz"]
    assert told["late ticks"][0] == "0 of 200"
    assert told["held-out error, base → release"] == ["0.900 → 0.400", "– (no held-out episode)"]
    assert told["bytes up"][0] == "284 kB"
    assert told["goals reached with the release"][0] == "1 of 4"
    console = Console(record=True, width=120)
    console.print(table(result(tmp_path)))
    assert "left" in console.export_text()


def test_the_report_is_one_page_with_every_robot_and_plot(tmp_path: Path) -> None:
    write_report(result(tmp_path), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == page.count("</svg>") >= 6
    assert "left" in page
    assert "right" in page
    assert "&lt;b&gt;" in page, "what robots say is text, not markup"


def test_emulated_arms_differ_in_their_goals(tmp_path: Path) -> None:
    cast = emulated(DemoConfig(robots=3, episodes=2), tmp_path)
    assert [a.name for a in cast.actors] == ["arm1", "arm2", "arm3"]
    assert len({f for a in cast.actors for f in a.flags if "seed" in f}) == 3
    assert (cast.base / "config.json").is_file()


def test_a_data_set_is_split_by_episodes_without_overlap(
    tmp_path: Path, small_dataset: Path
) -> None:
    cast = recorded(DemoConfig(dataset=str(small_dataset)), tmp_path)
    infos = [open_info(tmp_path / "episodes" / a.name) for a in cast.actors]
    assert [len(i.episodes) for i in infos] == [a.episodes for a in cast.actors]
    whole = open_info(small_dataset)
    assert sum(i.frames for i in infos) == whole.frames


def test_more_robots_than_episodes_are_refused(tmp_path: Path, small_dataset: Path) -> None:
    with pytest.raises(DataError, match="3 episodes for 5 robots"):
        recorded(DemoConfig(dataset=str(small_dataset), robots=5), tmp_path)


@pytest.mark.parametrize("field", ["robots", "episodes", "steps", "run_time_s"])
def test_nothing_can_be_none(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        DemoConfig(**{field: 0})


def test_a_part_that_dies_ends_the_wait_with_its_last_words(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.start("part", "no-such-command")
    with pytest.raises(StageError, match=r"part ended with status 2.*no such command"):
        stage.wait_for("something comes", lambda: False, 60)
    stage.end()


def test_the_time_can_be_up(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="something comes"):
        Stage(tmp_path).wait_for("something comes", lambda: False, 0.1)


def test_a_command_runs_in_the_foreground(tmp_path: Path) -> None:
    assert sys.executable
    assert Stage(tmp_path).run("--version") == 0


def test_ports_are_different_and_a_robot_may_never_have_trained(tmp_path: Path) -> None:
    assert len(set(free_ports(4))) == 4
    assert train_report(tmp_path) == {}
