"""Sets everything up: an interpreter, ``.venv``, the pinned packages, missing Debian packages.

Runs on any Python ≥ 3.8 without packages (``setup.sh`` finds one); quick when nothing has changed;
goes on where an interrupted run stopped. ``make`` calls it before every target.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "armada.stamp"
OLDEST = (3, 12)
PREFERRED = ((3, 12), (3, 13))

# One place for what the tests and the demonstration need beside Python: binary → Debian package,
# and library, below one of the folders, → Debian package (they render the simulated cameras).
DEBIAN = {"mosquitto": "mosquitto"}
SBIN = "/usr/sbin:/usr/local/sbin"
DEBIAN_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libOpenGL.so.0": "libopengl0",
    "dri/swrast_dri.so": "libgl1-mesa-dri",
}
LIBRARY_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64")


def say(text: str) -> None:
    sys.stderr.write(f"setup: {text}\n")


def version_of(python: str, needs: str = "venv, ensurepip") -> Optional[Tuple[int, int]]:
    """Version of an interpreter, found by running it; None where it can't make a ``.venv``.

    A pyenv shim may be there and not work; Debian's Python may come without ensurepip.
    """
    code = f"import sys, {needs}; print(*sys.version_info[:2])"
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
    """Interpreters worth a try, best first: on PATH, in pyenv, known to uv."""
    found: List[str] = []
    for name in ("python3.12", "python3.13", "python3.14", "python3", "python"):
        # Every one of the name, not only the first: a dead shim may stand before a good one.
        for folder in path.split(os.pathsep):
            where = shutil.which(name, path=folder) if folder else None
            if where and where not in found:
                found.append(where)
    versions = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    found += sorted(str(p) for p in versions.glob("3.*/bin/python3"))
    known = ask_uv(path, "find")
    if known:
        found.append(known)
    return found


def ask_uv(path: str, verb: str) -> Optional[str]:
    """What ``uv python VERB 3.12`` answers; None without uv."""
    uv = shutil.which("uv", path=path)
    if uv is None:
        return None
    asked = subprocess.run(
        [uv, "python", verb, "3.12"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return None if asked.returncode else asked.stdout.decode().strip()


def find_python(path: str, home: Path) -> str:
    """ARMADA_PYTHON, or the first of a preferred version, or what uv fetches, or a newer one."""
    named = os.environ.get("ARMADA_PYTHON")
    if named:
        version = version_of(named)
        if version is None or version < OLDEST:
            is_ = "{}.{}".format(*version) if version else "no Python that runs and has venv"
            raise SystemExit(
                f"setup: ARMADA_PYTHON={named} is {is_}; Python 3.12 or 3.13 is needed"
            )
        return named
    working = [(version_of(c), c) for c in candidates(path, home)]
    for version, candidate in working:
        if version in PREFERRED:
            return candidate
    if ask_uv(path, "install") is not None:
        fetched = ask_uv(path, "find")
        if fetched and version_of(fetched) in PREFERRED:
            return fetched
    for version, candidate in working:
        if version is not None and version >= OLDEST:
            return candidate
    tried = ", ".join(
        f"{c} ({v[0]}.{v[1]})" if v else f"{c} (doesn't run, or lacks venv)" for v, c in working
    )
    raise SystemExit(
        "setup: no Python 3.12 or 3.13 was found on PATH, in pyenv or through uv. Install one, or "
        f"name it: ARMADA_PYTHON=/path/to/python3.12 make …  (tried: {tried or 'nothing'})"
    )


def fingerprint() -> str:
    sha = hashlib.sha256()
    sha.update(str(ROOT).encode())
    for name in ("requirements.txt", "pyproject.toml", "scripts/setup.py"):
        sha.update((ROOT / name).read_bytes())
    return sha.hexdigest()


def run(*command: str) -> None:
    # Open descriptors are passed on: a pip that outlives a killed set-up still holds the lock.
    done = subprocess.run(command, cwd=str(ROOT), close_fds=False)
    if done.returncode:
        raise SystemExit(f"setup: this failed with status {done.returncode}: {' '.join(command)}")


def up_to_date() -> bool:
    return STAMP.is_file() and STAMP.read_text() == fingerprint()


def venv_is_whole() -> bool:
    """Whether ``.venv`` can be installed into: an interrupted start leaves it without pip, and
    after a move or a copy its scripts still name the old place."""
    version = version_of(str(VENV / "bin" / "python"), needs="pip")
    if version is None or version < OLDEST:
        return False
    pip = VENV / "bin" / "pip"
    return pip.is_file() and f"{VENV}/bin/python".encode() in pip.read_bytes()[:1000]


@contextmanager
def alone() -> Iterator[None]:
    """One set-up at a time in this folder; the lock goes with the last process that has it."""
    folder = os.open(str(ROOT), os.O_RDONLY)
    os.set_inheritable(folder, True)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def install_python_packages() -> None:
    if up_to_date():
        return
    with alone():
        if up_to_date():
            return
        # Gone before anything changes: a stamp that outlives an interrupted update would lie.
        if STAMP.exists():
            STAMP.unlink()
        python = VENV / "bin" / "python"
        if not venv_is_whole():
            base = find_python(os.environ.get("PATH", ""), Path.home())
            say(f"making .venv with {base}")
            shutil.rmtree(str(VENV), ignore_errors=True)
            run(base, "-m", "venv", str(VENV))
        say("installing the pinned packages (a few minutes the first time)")
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        run(*pip, "install", "--upgrade", "pip")
        run(*pip, "install", "-r", "requirements.txt")
        # Built with the pinned setuptools, so nothing more is fetched.
        run(*pip, "install", "--no-deps", "--no-build-isolation", "-e", ".")
        STAMP.write_text(fingerprint())


def library_is_there(name: str) -> bool:
    """In a library folder or in one of its folders by architecture."""
    folders = [Path(folder) for folder in LIBRARY_FOLDERS]
    return any(p.exists() for f in folders for p in (f / name, *f.glob(f"*/{name}")))


def missing_debian(path: str) -> List[str]:
    """Debian packages whose binary or library isn't there."""
    where = f"{path}:{SBIN}"
    missing = [p for binary, p in DEBIAN.items() if shutil.which(binary, path=where) is None]
    missing += [p for name, p in DEBIAN_LIBRARIES.items() if not library_is_there(name)]
    return sorted(missing)


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
        # The lists may be stale or one source down: whether that matters, the install says.
        subprocess.run(["apt-get", "-qq", "update"])
        run(*command.replace("install -y", "install -y -qq").split())


def main() -> None:
    install_python_packages()
    install_debian_packages()


if __name__ == "__main__":
    main()
