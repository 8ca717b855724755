"""`armada replay` and `armada evaluate` on a real recording, by the same processes as an arm."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.cli import main
from agent.policy.init import build_policy
from agent.policy.load import read_stats
from robots.replay.info import read_info
from tests.datasets import JOINTS, make_dataset


@pytest.fixture(scope="module")
def cloth(shared_data: Path) -> Path:
    return shared_data / "so101_cloth_wrist_3ep"


@pytest.fixture(scope="module")
def policy(cloth: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_policy(
        tmp_path_factory.mktemp("replay") / "policy",
        size="tiny",
        cameras={"wrist": (224, 224)},
        action_names=read_info(cloth).names("action"),
        stats=read_stats(cloth),
    )


def test_what_the_policy_would_have_done(
    capsys: pytest.CaptureFixture[str], cloth: Path, policy: Path
) -> None:
    flags = ["--episodes=[1, 2]", "--speed=3", "--inference.threads=1", "--json=true"]
    assert main(["replay", str(cloth), f"--policy.path={policy}", *flags]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [e["episode"] for e in report["episodes"]] == [1, 2]
    for played in report["episodes"]:
        length = read_info(cloth).episode(played["episode"]).length
        assert 0 < played["ticks"] <= length + 2
        assert played["driven_ticks"] + played["starved_ticks"] == played["ticks"]
        errors = played["error_by_joint"]
        assert list(errors) == list(read_info(cloth).names("action"))
        assert all(0 < error < 200 for error in errors.values())
    assert report["run"]["chunks"] > 0
    assert report["run"]["chunk_latency_ms_p50"] > 0


def test_recorded_actions_on_an_arm(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "d", episodes=2, frames=45, fps=30, reach=20.0)
    flags = [f"--dataset.root={root}", "--dataset.repo_id=me/d", "--dataset.episode=1"]
    flags += ["--robot.type=so101_sim", f"--robot.id=replayed{os.getpid()}"]
    flags += [f"--state_dir={tmp_path / 'state'}", "--json=true"]
    assert main(["replay", *flags]) == 0
    report = json.loads(capsys.readouterr().out)
    (sent,) = report["episodes"]
    assert (sent["episode"], report["robot"]) == (1, "so101_sim")
    assert sent["frames"] <= 45, "one a tick, but for ticks that were late"
    assert sent["frames"] + report["run"]["skipped_ticks"] >= 40
    assert set(sent["largest_by_joint"]) == set(JOINTS)
    assert all(0 <= mean < 15 for mean in sent["mean_by_joint"].values())
    assert "step too large" not in report["run"]["guard_trips"]


def test_as_fast_as_it_goes(capsys: pytest.CaptureFixture[str], cloth: Path, policy: Path) -> None:
    argv = ["evaluate", str(cloth), f"--policy.path={policy}", "--episodes=heldout", "--json=true"]
    assert main(argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert [e["episode"] for e in report["episodes"]] == [2]
    assert 0 < report["error"] < 2
