"""``armada models`` and ``armada evaluate``, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.commands import evaluate, models
from agent.commands.evaluate import chosen_episodes
from agent.policy.load import load_policy
from agent.policy.store import ModelStore, StoredModel
from agent.recorder.marks import write_marks
from robots.errors import ArmadaError, ConfigError, ModelError
from robots.replay.info import DatasetInfo, EpisodeInfo

Output = pytest.CaptureFixture[str]


@pytest.fixture
def two(tmp_path: Path, tiny_policy: Path, other_policy: Path) -> tuple[StoredModel, StoredModel]:
    """A robot whose second model is current, its first one previous."""
    store = ModelStore(tmp_path / "models")
    first, second = (store.add(p, origin="a test") for p in (tiny_policy, other_policy))
    store.promote(first)
    store.promote(second)
    return first, second


def run(tmp_path: Path, *words: str) -> int:
    return models.main([*words, f"--state_dir={tmp_path}"])


def test_list(tmp_path: Path, two: tuple[StoredModel, StoredModel], capsys: Output) -> None:
    assert run(tmp_path, "list", "--json=true") == 0
    rows = {row["digest"]: row["role"] for row in json.loads(capsys.readouterr().out)}
    assert rows == {two[0].digest: "previous", two[1].digest: "current"}

    assert run(tmp_path, "list") == 0
    assert two[0].short in capsys.readouterr().out


def test_show(tmp_path: Path, two: tuple[StoredModel, StoredModel], capsys: Output) -> None:
    assert run(tmp_path, "show") == 0
    assert two[1].digest in capsys.readouterr().out
    assert run(tmp_path, "show", "previous", "--json=true") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["digest"] == two[0].digest
    assert shown["damage"] is None
    assert [e["event"] for e in shown["history"]] == ["add", "promote"]


def test_show_reads_the_files_through(
    tmp_path: Path, two: tuple[StoredModel, StoredModel], capsys: Output
) -> None:
    (two[1].path / "config.json").write_text("{}")

    assert run(tmp_path, "show") == 1
    assert "config.json is not what was added" in capsys.readouterr().out


def test_rollback_and_promote(tmp_path: Path, two: tuple[StoredModel, StoredModel]) -> None:
    store = ModelStore(tmp_path / "models")
    assert run(tmp_path, "rollback", "--reason=it drops things") == 0
    assert store.current == two[0]
    assert store.history()[-1]["reason"] == "it drops things"
    assert run(tmp_path, "promote", two[1].short) == 0
    assert store.current == two[1]


def test_export_is_a_policy_of_its_own(
    tmp_path: Path, two: tuple[StoredModel, StoredModel]
) -> None:
    assert run(tmp_path, "export", str(tmp_path / "out"), "--model=previous") == 0

    assert not (tmp_path / "out" / "object.json").exists()
    assert load_policy(str(tmp_path / "out")).digest == two[0].digest
    with pytest.raises(ConfigError, match="exists already"):
        run(tmp_path, "export", str(tmp_path / "out"))


def test_init_takes_cameras_names_and_statistics_from_a_data_set(
    tmp_path: Path, small_dataset: Path
) -> None:
    out = tmp_path / "policy"
    assert models.main(["init", str(out), f"--dataset={small_dataset}"]) == 0

    result = evaluate.main([str(small_dataset), f"--policy.path={out}", "--episodes=0"])
    assert result == 0


def test_evaluate(tiny_policy: Path, small_dataset: Path, capsys: Output) -> None:
    argv = [str(small_dataset), f"--policy.path={tiny_policy}", "--policy.num_steps=2"]
    assert evaluate.main([*argv, "--episodes=heldout", "--json=true"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["episode"] for row in report["episodes"]] == [2]
    assert report["error"] > 0
    assert report["latency_ms_p95"] >= report["latency_ms_p50"] > 0

    assert evaluate.main(argv) == 0
    assert "% of range" in capsys.readouterr().out


def test_which_episodes(tmp_path: Path) -> None:
    def info(total: int) -> DatasetInfo:
        episodes = tuple(EpisodeInfo(i, 8, ("reach",), tmp_path, {}) for i in range(total))
        return DatasetInfo(tmp_path, 10, "", {}, episodes)

    assert chosen_episodes("", info(3)) == [0, 1, 2]
    assert chosen_episodes("0,2,5-7", info(9)) == [0, 2, 5, 6, 7]
    assert chosen_episodes("[1, 2]", info(9)) == [1, 2]
    assert chosen_episodes("heldout", info(11)) == [9, 10]
    for text in ("x", "1,,2", "-1"):
        with pytest.raises(ConfigError, match=f"--episodes={text}: can't be read"):
            chosen_episodes(text, info(9))
    with pytest.raises(ConfigError, match="none are held out"):
        chosen_episodes("heldout", info(1))
    # Training leaves out what was rejected, and holds out of the rest.
    write_marks(tmp_path, 10, {"verdict": "REJECTED"})
    assert chosen_episodes("heldout", info(11)) == [9]
    assert chosen_episodes("heldout", info(11), unclean=True) == [9, 10]
    with pytest.raises(ConfigError, match=r"--unclean.*--episodes=heldout"):
        chosen_episodes("0-3", info(11), unclean=True)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["dance"], ConfigError, "models=dance: needs a verb"),
        ([], ConfigError, "needs a verb"),
        (["list", "--nmae=x"], ConfigError, "--nmae"),
        (["rollback"], ModelError, "no previous model"),
        (["show"], ConfigError, "no current model"),
        (["promote"], ConfigError, "model: is missing"),
        (["promote", "abc"], ModelError, "digest=abc: there is no such model"),
        (["export"], ConfigError, "--out: is missing"),
        (["pull"], ConfigError, "--server: is missing"),
        (["init", "{out}", "--size=huge"], ConfigError, "--size=huge: must be tiny or full"),
        (["init", "{out}", "--cameras={a: [1]}"], ConfigError, "--cameras.a"),
    ],
)
def test_mistakes_are_one_clear_line(
    tmp_path: Path, words: list[str], error: type[ArmadaError], message: str
) -> None:
    argv = [word.replace("{out}", str(tmp_path / "out")) for word in words]
    if words and words[0] not in ("init", "dance"):
        argv.append(f"--state_dir={tmp_path}")
    with pytest.raises(error) as refused:
        models.main(argv)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_evaluate_prices_what_is_not_exact(
    tiny_policy: Path, small_dataset: Path, capsys: Output
) -> None:
    argv = [str(small_dataset), f"--policy.path={tiny_policy}", "--episodes=0", "--compare=true"]

    def compared(*flags: str) -> dict[str, Any]:
        assert evaluate.main([*argv, *flags, "--json=true"]) == 0
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert report["exact"]["engine"] == "torch"
        return report

    same = compared()
    assert same["engine"] == "onnx"
    assert same["deviation"] < 1e-5
    eight = compared("--inference.precision=8bit")
    assert eight["engine"] == "onnx-8bit"
    assert 1e-5 < eight["deviation"] < 0.1
    fewer = compared("--policy.num_steps=2")
    assert (fewer["denoising_steps"], fewer["exact"]["denoising_steps"]) == (2, 5)
    assert fewer["deviation"] > 1e-4

    assert evaluate.main([*argv, "--inference.precision=8bit"]) == 0
    assert "beside the policy as it is" in capsys.readouterr().out


def test_evaluate_names_what_is_missing(small_dataset: Path) -> None:
    with pytest.raises(ConfigError, match=r"--policy\.path: is missing"):
        evaluate.main([str(small_dataset)])
    with pytest.raises(ConfigError, match="--dataset: is missing"):
        evaluate.main(["--policy.path=x"])
