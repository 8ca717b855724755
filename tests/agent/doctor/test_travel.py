"""Joints that don't follow their actions, in real and made recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.cli import main
from agent.doctor.check import Finding, Verdict
from agent.doctor.travel import Travel, travel
from robots.errors import DataError
from tests.datasets import JOINTS, make_dataset


def warned(findings: dict[str, Finding]) -> dict[str, str]:
    return {p: f.detail for p, f in findings.items() if f.verdict is Verdict.WARN}


def look(dataset: Path, **spans: tuple[float, float]) -> dict[str, Finding]:
    return {f.part: f for f in travel(dataset, {f"{k}.pos": v for k, v in spans.items()})}


@pytest.mark.shared_data
def test_the_real_stuck_joint_is_named(shared_data: Path) -> None:
    said = look(shared_data / "so101_cube_state")
    assert list(warned(said)) == ["range wrist_roll"]
    assert "wrist_roll is stuck: it stays 74.0 away from its actions" in warned(said).popitem()[1]
    assert said["data"].detail.startswith("3 episodes, 2094 frames")


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["so101_cloth_wrist", "so101_cloth_wrist_3ep"])
def test_real_sound_recordings_name_nobody(shared_data: Path, name: str) -> None:
    assert warned(look(shared_data / name)) == {}


@pytest.mark.shared_data
def test_a_replay_robot_is_its_recording(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    robot = ["--robot.type=replay", f"--robot.dataset={shared_data / 'so101_cube_state'}"]
    assert main(["doctor", *robot, f"--state_dir={tmp_path}", "--json"]) == 0
    assert "wrist_roll is stuck" in capsys.readouterr().out


def stick(root: Path, joint: int, episodes: tuple[int, ...], *, action: bool = False) -> Path:
    """Make a joint stand still in some episodes."""
    (path,) = (root / "data").glob("*/*.parquet")
    table = pq.read_table(path)
    for name in ("observation.state", *(("action",) if action else ())):
        values = np.array(table[name].to_pylist(), np.float32)
        rows = np.isin(table["episode_index"].to_numpy(), episodes)
        values[rows, joint] = 1.0
        column = pa.array(list(values), table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    pq.write_table(table, path)
    return root


def test_a_joint_that_got_stuck_in_some_episodes(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "set", episodes=3, seed=4)
    assert warned(look(root)) == {}
    said = warned(look(stick(root, 2, (1,))))
    assert list(said) == ["range elbow_flex"]
    assert "elbow_flex is stuck in episode 1" in said["range elbow_flex"]


def test_a_joint_that_is_neither_told_nor_moved(tmp_path: Path) -> None:
    root = stick(make_dataset(tmp_path / "set", seed=4), 4, (0, 1, 2), action=True)
    said = warned(look(root))
    assert "wrist_roll never moves, others do" in said["range wrist_roll"]


def test_ranges_are_the_arms_where_it_is_known(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "set", seed=4)
    assert "of -100..100;" in look(root)["range elbow_flex"].detail
    assert "of 0..100;" in look(root)["range gripper"].detail
    assert "of -95..95;" in look(root, elbow_flex=(-95.0, 95.0))["range elbow_flex"].detail


def test_degrees_are_recognised(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "set", reach=150.0, seed=4)
    assert "of -110..110;" in look(root)["range elbow_flex"].detail


def test_noise_and_lag_are_no_stuck_joint() -> None:
    rng = np.random.default_rng(0)
    action = 40 * np.sin(np.linspace(0, 6, 200))
    state = np.roll(action, 5) + rng.normal(0, 0.5, 200)
    episode = np.zeros(200, np.int64)
    assert not Travel("a", -100, 100, state, action, episode).stuck()
    assert Travel("a", -100, 100, state * 0.01, action, episode).stuck()
    still = Travel("a", -100, 100, state * 0.01, action * 0.01, episode)
    assert not still.stuck()


def test_a_recording_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError):
        list(travel(tmp_path / "no"))
    assert main(["doctor", f"--dataset={tmp_path / 'no'}", "--json", f"--state_dir={tmp_path}"])
    assert "no such data set" in capsys.readouterr().out


def test_the_agents_own_recording_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "datasets").mkdir()
    make_dataset(tmp_path / "datasets" / "default")
    assert main(["doctor", f"--state_dir={tmp_path}", "--json"]) == 0
    out = capsys.readouterr().out
    assert all(f"range {joint.removesuffix('.pos')}" in out for joint in JOINTS)
