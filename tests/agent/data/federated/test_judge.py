"""``armada data list|show|check`` over a federation's data sets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from agent.commands.data import COMMAND
from agent.data.federated.catalogue_file import SHIPPED
from robots.errors import ConfigError
from tests.agent.data.check.spoil import double

REAL = "so101_cloth_wrist_3ep"


@pytest.fixture
def file(shared_data: Path, tmp_path: Path) -> Path:
    """Three clients: a clean one, a doubled one, and one that is elsewhere."""
    shutil.copytree(shared_data / REAL, tmp_path / "clean")
    double(Path(shutil.copytree(shared_data / REAL, tmp_path / "doubled")), claim=True)
    frames = json.loads((tmp_path / "clean" / "meta" / "info.json").read_text())["total_frames"]
    doubled = json.loads((tmp_path / "doubled" / "meta" / "info.json").read_text())["total_frames"]
    path = tmp_path / "datasets.yaml"
    clients = [
        {"dataset": "clean", "episodes": 3, "frames": frames},
        {"dataset": "doubled", "episodes": 3, "frames": doubled},
        {"dataset": "me/elsewhere", "episodes": 9, "frames": 900},
    ]
    path.write_text(yaml.safe_dump({"clients": clients}))
    return path


def test_check_fills_the_verdicts_in(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.main(["check", str(file), "--json=true"]) == 1

    said = {j["name"]: j for j in json.loads(capsys.readouterr().out)}
    assert [said[n]["here"] for n in ("clean", "doubled", "elsewhere")] == [True, True, False]
    assert any("doubled" in reason for reason in said["doubled"]["reasons"])
    written = {e["name"]: e for e in yaml.safe_load(file.read_text())["clients"]}
    assert written["clean"]["verdict"] == "CLEAN"
    assert (written["doubled"]["verdict"], written["doubled"]["left_out"]) == ("REPAIRED", "0-2")
    assert written["elsewhere"]["verdict"] == "unchecked"


def test_a_data_set_of_another_size_is_not_the_claimed_one(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = yaml.safe_load(file.read_text())
    data["clients"] = [data["clients"][0] | {"frames": 1000}]
    file.write_text(yaml.safe_dump(data))

    assert COMMAND.main(["check", str(file)]) == 1
    assert "the catalogue claims 1000" in " ".join(capsys.readouterr().out.split())
    assert yaml.safe_load(file.read_text())["clients"][0]["verdict"] == "REJECTED"


def test_status_0_if_all_that_is_here_is_clean(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = yaml.safe_load(file.read_text())
    del data["clients"][1]
    file.write_text(yaml.safe_dump(data))

    assert COMMAND.main(["check", str(file)]) == 0
    assert "is not on this machine" in capsys.readouterr().out


def test_where_nothing_is_here_nothing_is_written(tmp_path: Path) -> None:
    path = Path(shutil.copy(SHIPPED, tmp_path))
    assert COMMAND.main(["check", str(path)]) == 1
    assert path.read_bytes() == SHIPPED.read_bytes()


def test_mending_is_for_one_data_set(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--repair=.*: is for one data set"):
        COMMAND.main(["check", str(file), f"--repair={tmp_path / 'out'}"])


def test_list_and_show(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.main(["list", "--json=true"]) == 0
    shipped = json.loads(capsys.readouterr().out)
    assert [e["role"] for e in shipped] == ["client"] * 4 + ["evaluation"] * 3

    assert COMMAND.main(["list", str(file)]) == 0
    assert "me/elsewhere" in capsys.readouterr().out

    assert COMMAND.main(["show", "clean", f"--file={file}", "--json=true"]) == 0
    clean = json.loads(capsys.readouterr().out)
    assert clean["folder"] == str(file.parent / "clean")
    assert (clean["train"], clean["evaluation"]) == ("0-1", "2")

    assert COMMAND.main(["show"]) == 0
    assert capsys.readouterr().out == SHIPPED.read_text()
