"""What a configuration refuses, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.commands.replay import from_lerobot
from agent.config import PolicyRef, RunConfig
from agent.control.recorded_config import RecordedConfig
from agent.inference_config import InferenceConfig
from agent.recorder.config import RecordConfig
from agent.replay_config import ReplayConfig
from robots.errors import ConfigError
from robots.sim import ScriptedReachConfig, SO101SimConfig

ARM: dict[str, Any] = {"robot": SO101SimConfig(id="arm"), "task": "t"}
POLICY = PolicyRef(path="some/policy")
LEADER = ScriptedReachConfig(id="arm")


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({"policy": POLICY}, "policy"),
        ({"teleop": LEADER, "policy": POLICY}, "teleop"),
        ({"teleop": LEADER, "policy": POLICY, "source": "policy"}, "policy"),
        ({"teleop": LEADER, "policy": POLICY, "trigger": "correction"}, "policy"),
        ({"teleop": LEADER, "recorded": RecordedConfig(dataset="d", episodes=[0])}, "recorded"),
    ],
)
def test_what_drives_first(fields: dict[str, Any], first: str) -> None:
    trigger = fields.pop("trigger", "schedule")
    config = RunConfig(**ARM, **fields, dataset=RecordConfig(trigger=trigger))
    assert config.first_source == first


def test_what_is_not_there_drives_nothing() -> None:
    with pytest.raises(ConfigError, match="nothing drives"):
        RunConfig(**ARM)
    with pytest.raises(ConfigError, match="One of: policy"):
        RunConfig(**ARM, policy=POLICY, source="teleop")
    with pytest.raises(ConfigError, match="to correct it with"):
        RunConfig(**ARM, policy=POLICY, dataset=RecordConfig(trigger="correction"))


def test_triggers() -> None:
    with pytest.raises(ConfigError, match="One of: schedule, operator, success, always"):
        RecordConfig(trigger="sometimes")
    with pytest.raises(ConfigError, match="aren't counted"):
        RecordConfig(trigger="always", num_episodes=3)
    with pytest.raises(ConfigError, match="no second lies outside of an episode"):
        RecordConfig(trigger="always", pre_trigger_s=2.0)


def test_a_worker_has_some_time_to_start_and_to_answer() -> None:
    for field in ("deadline_s", "start_limit_s"):
        with pytest.raises(ConfigError, match=f"--inference.{field}=0: must be positive"):
            InferenceConfig(**{field: 0})  # type: ignore[arg-type]


def test_a_question_to_a_server_has_a_deadline_that_servers_keep() -> None:
    with pytest.raises(ConfigError, match=r"--inference.deadline_s=601: no policy server keeps"):
        InferenceConfig(**SERVER, deadline_s=601)
    InferenceConfig(**SERVER, deadline_s=600)
    InferenceConfig(deadline_s=601)


SERVER: dict[str, Any] = {"server": "127.0.0.1:8470"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"engine": "onnx"}, "--inference.engine=onnx"),
        ({"precision": "8bit"}, "--inference.precision=8bit"),
        ({"threads": 2}, "--inference.threads=2"),
        ({"start_limit_s": 20.0}, "--inference.start_limit_s=20.0"),
    ],
)
def test_how_a_policy_is_computed_here_says_nothing_of_a_server(
    fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=f"{says}: no policy runs on this host") as refused:
        InferenceConfig(**SERVER, **fields)
    assert "--inference.fallback=true" in str(refused.value)
    InferenceConfig(**SERVER, **fields, fallback=True)
    InferenceConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"policy": POLICY}, "--policy.path=some/policy"),
        ({"policy": PolicyRef(stats="d")}, "--policy.stats=d"),
        ({"policy": PolicyRef(overrides=["num_steps=5"])}, r"--policy.overrides=.*num_steps=5.*"),
        ({"device": "cuda"}, "--device=cuda"),
    ],
)
def test_nor_does_which_policy_runs_here(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"{says}: no policy runs on this host"):
        RunConfig(**ARM, **fields, inference=InferenceConfig(**SERVER))
    both = {"policy": POLICY} | fields
    if both["policy"].path:
        RunConfig(**ARM, **both, inference=InferenceConfig(**SERVER, fallback=True))


def test_a_server_alone_needs_none_of_it() -> None:
    RunConfig(**ARM, inference=InferenceConfig(**SERVER))


def test_a_home_folder_may_be_written_short() -> None:
    config = RunConfig(**ARM, policy=POLICY, dataset=RecordConfig(root="~/sets/cubes"))
    assert config.dataset_root == Path.home() / "sets" / "cubes"


def test_a_replay_goes_to_a_policy_or_to_an_arm() -> None:
    assert ReplayConfig(dataset="d", policy=POLICY, episode=2).episodes == [2]
    arm = SO101SimConfig(id="arm")
    for fields in ({}, {"policy": POLICY, "robot": arm, "episode": 0}):
        with pytest.raises(ConfigError, match="give one of both"):
            ReplayConfig(dataset="d", **fields)
    with pytest.raises(ConfigError, match="--episode: is missing"):
        ReplayConfig(dataset="d", robot=arm)
    with pytest.raises(ConfigError, match="give one of both"):
        ReplayConfig(dataset="d", policy=POLICY, episode=0, episodes=[1])


def test_the_flags_of_lerobot_s_replay() -> None:
    flags = ["--robot.type=x", "--dataset.repo_id=me/d", "--dataset.episode", "3"]
    assert from_lerobot(flags) == ["--robot.type=x", "--dataset=me/d", "--episode=3"]
    assert from_lerobot([*flags, "--dataset.root=/d"])[-1] == "--dataset=/d"
    assert "--dataset=me/d" not in from_lerobot([*flags, "--dataset.root=/d"])
