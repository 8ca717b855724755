"""Flags as LeRobot's; mistakes are refused with name, value and remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.commands.parsing import parse
from agent.config import RunConfig
from robots.errors import ConfigError
from robots.registry import register_all


@dataclass(kw_only=True)
class Ref:
    """A policy."""

    path: str = ""
    overrides: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Config:
    """A command's configuration."""

    dataset: str = ""
    # How many.
    steps: int = 10
    json: bool = False
    policy: Ref = field(default_factory=Ref)
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ConfigError("can't be negative", field="--steps", value=self.steps)


def read(*argv: str) -> Config:
    return parse(Config, argv, prog="armada test", positional=("dataset",))


def test_flags_and_words() -> None:
    config = read("some/folder", "--steps=3", "--policy.path", "lerobot/smolvla_base")
    assert (config.dataset, config.steps) == ("some/folder", 3)
    assert config.policy.path == "lerobot/smolvla_base"


def test_a_switch_needs_no_value() -> None:
    assert read("--json").json
    assert read("--json", "--steps=3").json
    assert read("--json", "true").json
    assert not read("--json=false").json


def test_a_file_holds_the_same_and_flags_win(tmp_path: Path) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text("steps: 5\ndataset: x\npolicy: {path: p}\n")
    config = read(f"--config_path={path}", "--steps=6")
    assert (config.dataset, config.steps, config.policy.path) == ("x", 6, "p")


def test_other_fields_of_the_policy_are_carried_along() -> None:
    config = read("--policy.path=p", "--policy.num_steps=5", "--policy.device", "cpu")
    assert config.policy.overrides == ["num_steps=5", "device=cpu"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--stebs=3"], r"--stebs: there is no such flag.*--steps"),
        (["--steps=many"], r"--steps"),
        (["--steps=-1"], r"--steps=-1: can't be negative"),
        (["a", "b"], r"arguments=b: unexpected word"),
        (["--config_path=/none.yaml"], r"--config_path=/none.yaml: can't be read"),
        (["--config_path"], r"--config_path: needs a value"),
    ],
)
def test_mistakes_are_named(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(*argv)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [", "isn't valid YAML"),
        ("just words", "holds no fields"),
        ("stebs: 3", r"--stebs: there is no such field.*--steps"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read(f"--config_path={path}")


def test_help_names_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as shown:
        read("--help")
    assert shown.value.code == 0
    assert "--steps" in capsys.readouterr().out


def test_help_of_a_run_names_all_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """What a comment says goes through argparse, to which a percent sign means something."""
    register_all()
    with pytest.raises(SystemExit) as shown:
        parse(RunConfig, ["--robot.type=so101_sim", "--help"], prog="armada run")
    assert shown.value.code == 0
    shown_help = capsys.readouterr().out
    assert "--guard.limits.speed_percent" in shown_help
    assert "--inference.merge" in shown_help
    assert "What computes the policy's chunks" in shown_help, "of the second base class"
