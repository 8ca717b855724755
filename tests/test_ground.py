"""The set-up finds its interpreter by itself and says what it can't do."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""Of the text as the Apache Software Foundation publishes it."""


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


def test_a_dead_shim_does_not_hide_a_good_one_behind_it(setup: ModuleType, tmp_path: Path) -> None:
    script(tmp_path / "shims", "python3.12", "exit 127")
    good = script(tmp_path / "bin", "python3.12", "echo 3 12")
    assert setup.find_python(f"{tmp_path}/shims:{tmp_path}/bin", tmp_path) == str(good)


def test_a_python_without_ensurepip_is_passed_over(setup: ModuleType, tmp_path: Path) -> None:
    script(tmp_path / "bin", "python3.12", 'case "$2" in *ensurepip*) exit 1;; esac; echo 3 12')
    good = script(tmp_path / "bin", "python3.13", "echo 3 13")
    assert setup.find_python(str(tmp_path / "bin"), tmp_path) == str(good)


def test_what_uv_knows_will_do(setup: ModuleType, tmp_path: Path) -> None:
    managed = script(tmp_path / "managed", "python", "echo 3 12")
    script(tmp_path / "bin", "uv", f'[ "$2" = find ] && echo {managed}')
    assert setup.find_python(str(tmp_path / "bin"), tmp_path) == str(managed)


def test_uv_fetches_one_before_a_newer_one_is_taken(setup: ModuleType, tmp_path: Path) -> None:
    managed = tmp_path / "managed" / "python"
    script(tmp_path / "bin", "python3.14", "echo 3 14")
    fetch = f"printf '#!/bin/sh\\necho 3 12\\n' > {managed}; chmod +x {managed}"
    script(
        tmp_path / "bin",
        "uv",
        f'case "$2" in install) {fetch};; find) [ -x {managed} ] && echo {managed};; esac',
    )
    managed.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
        assert setup.find_python(str(tmp_path / "bin"), tmp_path) == str(managed)


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


def test_one_that_is_named_and_unfit_is_refused(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = script(tmp_path / "bin", "old", "echo 3 11")
    script(tmp_path / "bin", "python3.12", "echo 3 12")
    monkeypatch.setenv("ARMADA_PYTHON", str(old))
    with pytest.raises(SystemExit, match=r"ARMADA_PYTHON=.*old is 3\.11; Python 3\.12 or 3\.13"):
        setup.find_python(str(tmp_path / "bin"), tmp_path)


def launch(folder: Path) -> subprocess.CompletedProcess[str]:
    """``setup.sh`` on a machine whose PATH is one folder."""
    (folder / "dirname").symlink_to(shutil.which("dirname") or "/usr/bin/dirname")
    return subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "setup.sh")],
        env={"PATH": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_launcher_passes_over_what_cannot_run_the_setup(tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    script(bin_, "python3", "exit 1")
    script(bin_, "python3.13", '[ "$1" = -c ] || echo "ran $1"')
    assert launch(bin_).stdout.strip().endswith("scripts/setup.py")


def test_the_launcher_lets_uv_run_the_setup(tmp_path: Path) -> None:
    script(tmp_path / "bin", "uv", 'echo "uv $*"')
    assert launch(tmp_path / "bin").stdout.startswith("uv run")


def test_the_launcher_without_any_python_says_so(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = launch(tmp_path / "bin")
    assert done.returncode == 1
    assert "install Python 3.12" in done.stderr


@pytest.fixture
def venv(setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``.venv`` as pip left it, with an interpreter that only tells its version."""
    folder = tmp_path / ".venv"
    folder.mkdir()
    script(folder / "bin", "python", "echo 3 12")
    (folder / "bin" / "pip").write_text(f"#!{folder}/bin/python\nimport pip\n")
    monkeypatch.setattr(setup, "VENV", folder)
    monkeypatch.setattr(setup, "STAMP", folder / "armada.stamp")
    return folder


@pytest.fixture
def commands(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ran: list[str] = []
    monkeypatch.setattr(setup, "run", lambda *command: ran.append(" ".join(command)))
    return ran


def test_what_is_set_up_is_left_alone(setup: ModuleType, venv: Path, commands: list[str]) -> None:
    setup.install_python_packages()
    assert any("-r requirements.txt" in command for command in commands)
    assert not any("-m venv" in command for command in commands), ".venv was whole"
    commands.clear()
    setup.install_python_packages()
    assert commands == []


def test_new_pins_are_installed(setup: ModuleType, venv: Path, commands: list[str]) -> None:
    (venv / "armada.stamp").write_text("of other pins")
    setup.install_python_packages()
    assert any("-r requirements.txt" in command for command in commands)


def test_an_interrupted_install_is_taken_up_again(
    setup: ModuleType, venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = venv / "armada.stamp"
    stamp.write_text("of other pins")

    def interrupted(*command: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        setup.install_python_packages()
    assert not stamp.exists(), "with the pins of before it would pass for set up"
    assert not setup.up_to_date()


def test_a_venv_without_pip_is_made_anew(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    monkeypatch.setattr(setup, "VENV", folder)
    assert not setup.venv_is_whole()


def test_a_venv_that_was_moved_is_made_anew(setup: ModuleType, venv: Path) -> None:
    assert setup.venv_is_whole()
    (venv / "bin" / "pip").write_text("#!/somewhere/else/.venv/bin/python\nimport pip\n")
    assert not setup.venv_is_whole()


def test_a_venv_of_an_old_python_is_made_anew(setup: ModuleType, venv: Path) -> None:
    script(venv / "bin", "python", "echo 3 11")
    assert not setup.venv_is_whole()


def test_missing_debian_packages_are_known_by_their_binaries(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "SBIN", str(tmp_path))
    monkeypatch.setattr(setup, "DEBIAN_LIBRARIES", {})
    assert setup.missing_debian(str(tmp_path)) == ["mosquitto"]
    script(tmp_path / "bin", "mosquitto", "true")
    assert setup.missing_debian(str(tmp_path / "bin")) == []


def test_missing_libraries_are_known_by_their_files(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "DEBIAN", {})
    monkeypatch.setattr(setup, "LIBRARY_FOLDERS", (str(tmp_path), str(tmp_path / "none")))
    assert setup.missing_debian("") == ["libegl1", "libgl1-mesa-dri", "libopengl0"]
    for name in ("libEGL.so.1", "libOpenGL.so.0"):
        (tmp_path / name).touch()
    assert setup.missing_debian("") == ["libgl1-mesa-dri"]
    by_architecture = tmp_path / "aarch64-linux-gnu" / "dri"
    by_architecture.mkdir(parents=True)
    (by_architecture / "swrast_dri.so").touch()
    assert setup.missing_debian("") == []


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


def test_root_installs_what_is_missing_even_when_the_lists_cannot_be_renewed(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    script(
        tmp_path / "bin",
        "apt-get",
        f'echo "$DEBIAN_FRONTEND $*" >> {log}; case "$*" in *update) exit 100;; esac',
    )
    monkeypatch.setenv("DEBIAN_FRONTEND", "dialog")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(setup, "SBIN", "")
    monkeypatch.setattr(setup.os, "geteuid", lambda: 0)
    setup.install_debian_packages()
    last = log.read_text().splitlines()[-1]
    assert last.startswith("noninteractive install")
    assert last.endswith("mosquitto")


TARGETS = {"demo", "test", "lint", "types", "format", "setup", "pins", "proto", "clean", "help"}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_lists_every_target() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in shown.splitlines()} == TARGETS


def test_every_target_but_help_and_clean_sets_up_first() -> None:
    rules = dict(re.findall(r"^([a-z]+):([^#\n]*)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(rules) == TARGETS
    assert {t for t, needs in rules.items() if "setup" not in needs} == {"setup", "help", "clean"}


def test_make_has_what_the_readme_promises() -> None:
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


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == APACHE_2
