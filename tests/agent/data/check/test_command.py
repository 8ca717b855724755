"""``armada data check``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands.data import COMMAND
from robots.errors import ArmadaError
from tests.agent.data.check.spoil import double


def test_a_clean_one_is_status_0(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.main(["check", str(real)]) == 0
    out = capsys.readouterr().out
    assert "CLEAN: 3 of 3 episodes are clean" in out


def test_one_that_is_not_is_status_1_and_is_mended_on_request(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double(copy, claim=True)
    assert COMMAND.main(["check", str(copy), "--json=true"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["verdict"], report["usable"]) == ("REPAIRED", [])
    assert report["episodes"][1]["findings"][0]["rule"] == "task"
    assert {f["rule"] for f in report["episodes"][1]["findings"]} == {"task", "doubled"}

    mended, sheets = tmp_path / "mended", tmp_path / "sheets"
    argv = ["check", str(copy), f"--repair={mended}", f"--pictures={sheets}"]
    assert COMMAND.main(argv) == 0
    assert len(list(sheets.glob("*.png"))) == 3
    assert COMMAND.main(["check", str(mended)]) == 0
    with pytest.raises(ArmadaError, match="exists already"):
        COMMAND.main(argv)


def test_without_a_verb_or_a_data_set_it_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ArmadaError, match="One of: check"):
        COMMAND.main(["mend"])
    with pytest.raises(ArmadaError, match="armada data check FOLDER"):
        COMMAND.main(["check"])


def test_from_a_shell(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "data", "check", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "isn't a LeRobot data set" in done.stderr
