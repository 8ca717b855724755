"""Sets everything up: an interpreter, ``.venv``, the pinned packages, missing Debian packages.

Runs on any Python ≥ 3.8 without packages; quick when nothing has changed; goes on where an
interrupted run stopped. ``make`` calls it before every target.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Optional, Tuple

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "armada.stamp"
OLDEST = (3, 12)
PREFERRED = ((3, 12), (3, 13))

# binary → Debian package. One place for what the tests and the demonstration need beside Python.
DEBIAN = {"mosquitto": "mosquitto"}
SBIN = "/usr/sbin:/usr/local/sbin"


def say(text: str) -> None:
    sys.stderr.write(f"setup: {text}\n")


def version_of(python: str) -> Optional[Tuple[int, int]]:
    """Version of an interpreter, found by running it: a pyenv shim may be there and not work."""
    code = "import sys, venv; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.split()
    if done.returncode or len(words) != 2:
        return None
    return int(words[0]), int(words[1])


def candidates(path: str, home: Path) -> List[str]:
    """Interpreters worth a try, best first: named by ARMADA_PYTHON, on PATH, in pyenv, by uv."""
    found: List[str] = []
    named = os.environ.get("ARMADA_PYTHON")
    if named:
        found.append(named)
    for name in ("python3.12", "python3.13", "python3.14", "python3", "python"):
        where = shutil.which(name, path=path)
        if where:
            found.append(where)
    versions = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    found += sorted(str(p) for p in versions.glob("3.*/bin/python3"))
    uv = shutil.which("uv", path=path)
    if uv:
        asked = subprocess.run(
            [uv, "python", "find", "3.12"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if asked.returncode == 0:
            found.append(asked.stdout.decode().strip())
    return found


def find_python(path: str, home: Path) -> str:
    """The first interpreter of a preferred version, else the first that is new enough."""
    working = [(version_of(c), c) for c in candidates(path, home)]
    for version, candidate in working:
        if version in PREFERRED:
            return candidate
    for version, candidate in working:
        if version is not None and version >= OLDEST:
            return candidate
    tried = ", ".join(f"{c} ({v[0]}.{v[1]})" if v else f"{c} (doesn't run)" for v, c in working)
    raise SystemExit(
        "setup: no Python 3.12 or 3.13 was found on PATH, in pyenv or through uv. Install one, or "
        f"name it: ARMADA_PYTHON=/path/to/python3.12 make …  (tried: {tried or 'nothing'})"
    )


def fingerprint() -> str:
    sha = hashlib.sha256()
    for name in ("requirements.txt", "pyproject.toml", "scripts/setup.py"):
        sha.update((ROOT / name).read_bytes())
    return sha.hexdigest()


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=str(ROOT))
    if done.returncode:
        raise SystemExit(f"setup: this failed with status {done.returncode}: {' '.join(command)}")


def install_python_packages() -> None:
    if STAMP.is_file() and STAMP.read_text() == fingerprint():
        return
    python = VENV / "bin" / "python"
    if version_of(str(python)) is None:
        base = find_python(os.environ.get("PATH", ""), Path.home())
        say(f"making .venv with {base}")
        shutil.rmtree(str(VENV), ignore_errors=True)
        run(base, "-m", "venv", str(VENV))
    say("installing the pinned packages (a few minutes the first time)")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "install", "--upgrade", "pip")
    run(*pip, "install", "-r", "requirements.txt")
    run(*pip, "install", "--no-deps", "-e", ".")
    STAMP.write_text(fingerprint())


def missing_debian(path: str) -> List[str]:
    """Debian packages whose binary isn't there."""
    where = f"{path}:{SBIN}"
    return sorted(p for binary, p in DEBIAN.items() if shutil.which(binary, path=where) is None)


def install_debian_packages() -> None:
    missing = missing_debian(os.environ.get("PATH", ""))
    if not missing:
        return
    command = "apt-get install -y --no-install-recommends " + " ".join(missing)
    if shutil.which("apt-get") is None:
        say(f"please install: {' '.join(missing)} (the demonstration and some tests need it)")
    elif os.geteuid() != 0:
        say(f"please run: sudo {command}")
    else:
        say(f"installing {' '.join(missing)}")
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        run("apt-get", "-qq", "update")
        run(*command.replace("install -y", "install -y -qq").split())


def main() -> None:
    install_python_packages()
    install_debian_packages()


if __name__ == "__main__":
    main()
