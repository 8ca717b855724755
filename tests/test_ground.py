"""The set-up finds its interpreter by itself and says what it can't do."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("armada_setup", ROOT / "scripts" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARMADA_PYTHON", "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)


def test_a_shim_that_fails_and_an_old_python_are_passed_over(
    setup: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "bin"
    script(path, "python3.12", "exit 127")
    script(path, "python3", "echo 3 11")
    good = script(path, "python3.13", "echo 3 13")
    assert setup.find_python(str(path), tmp_path) == str(good)


def test_a_python_of_pyenv_will_do(setup: ModuleType, tmp_path: Path) -> None:
    versions = tmp_path / ".pyenv" / "versions"
    (versions / "3.12.1").mkdir(parents=True)
    good = script(versions / "3.12.1" / "bin", "python3", "echo 3 12")
    assert setup.find_python(str(tmp_path / "empty"), tmp_path) == str(good)


def test_a_newer_one_is_taken_when_there_is_no_other(setup: ModuleType, tmp_path: Path) -> None:
    newest = script(tmp_path / "bin", "python3", "echo 3 14")
    assert setup.find_python(str(tmp_path / "bin"), tmp_path) == str(newest)


def test_without_any_it_says_what_to_do(setup: ModuleType, tmp_path: Path) -> None:
    script(tmp_path / "bin", "python3", "echo 3 9")
    with pytest.raises(SystemExit, match=r"no Python 3\.12 or 3\.13.*ARMADA_PYTHON=.*\(3\.9\)"):
        setup.find_python(str(tmp_path / "bin"), tmp_path)


def test_one_that_is_named_comes_first(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARMADA_PYTHON", sys.executable)
    script(tmp_path / "bin", "python3.12", "echo 3 12")
    assert setup.find_python(str(tmp_path / "bin"), tmp_path) == sys.executable


def test_missing_debian_packages_are_known_by_their_binaries(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "SBIN", str(tmp_path))
    assert setup.missing_debian(str(tmp_path)) == ["mosquitto"]
    script(tmp_path / "bin", "mosquitto", "true")
    assert setup.missing_debian(str(tmp_path / "bin")) == []


def test_who_is_not_root_is_told_the_command(
    setup: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script(tmp_path / "bin", "apt-get", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(setup, "SBIN", "")
    monkeypatch.setattr(setup.os, "geteuid", lambda: 1000)
    setup.install_debian_packages()
    assert "sudo apt-get install" in capsys.readouterr().err


def test_make_has_what_the_readme_promises() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "lint", "types", "setup", "pins", "proto", "clean"} <= targets
    readme = (ROOT / "README.md").read_text()
    assert readme.index("make demo") < readme.index("## Run an arm")
    for page in re.findall(r"\]\((docs/[\w-]+\.md|\w+\.md)\)", readme):
        assert (ROOT / page).is_file(), page


def test_the_pins_are_the_releases_we_build_on() -> None:
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    for wanted in ("lerobot==0.6.1", "flwr==1.39.0", "torch==2.11.0"):
        assert any(line.startswith(wanted) for line in pins), wanted
    assert not [line for line in pins if line.startswith("-")], "no index lines"
    headless = [line for line in pins if line.startswith("opencv")]
    assert all("headless" in line for line in headless), "two OpenCVs clash"
