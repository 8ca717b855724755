"""Who may import whom, and what may not be in the tree."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("agent", "robots", "server")
LONGEST = 400

EXECUTABLE = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "torch.load"}
"""What turns bytes into running code."""

SHARED_WITH_SERVER = {
    # Messages and how commands are declared and parsed.
    "agent.commands.base",
    "agent.commands.parsing",
    "agent.fleet",
    "agent.link.messages",
    "agent.token",
    "agent.proto",
    # What a release is, and whose.
    "agent.releases.delta",
    "agent.releases.manifest",
    "agent.releases.signature",
    # Weights, and the policy folder that a release is.
    "agent.federation.payload",
    "agent.federation.wire",
    "agent.policy.atomic",
    "agent.policy.hub",
    "agent.policy.merge",
    "agent.policy.parts",
    "agent.policy.store",
    "agent.policy.weights",
    "agent.training.arrays",
    "agent.training.config",
    # Simulated clients: what is asked of them, their shares, and a policy that fits these.
    "agent.data.open",
    "agent.federation.simulation",
    "agent.policy.init",
    # The policy server: what both ends say, and how a policy is asked.
    "agent.ipc",
    "agent.policy.continuation",
    "agent.policy.engines",
    "agent.policy.fit",
    "agent.policy.load",
    "agent.policy.predict",
    "agent.policy.remote",
    # How processes are started and watched, how they log, on a robot host and on the server's.
    "agent.logs",
    "agent.supervisor.child",
    "agent.supervisor.events",
    "agent.supervisor.locks",
}
"""What of `agent` the server may import."""


def modules(package: str) -> list[Path]:
    return [p for p in sorted((ROOT / package).rglob("*.py")) if "_pb2" not in p.name]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}: imports are absolute here"
            assert node.level == 0, f"{path}: imports are absolute here"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(package: str, other: str) -> set[str]:
    """Modules of ``other`` that ``package`` imports, as ``file: module``."""
    return {
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules(package)
        for name in imports(path)
        if name == other or name.startswith(f"{other}.")
    }


def test_robots_know_neither_agent_nor_server() -> None:
    assert imported("robots", "agent") == set()
    assert imported("robots", "server") == set()


def test_the_agent_knows_no_server() -> None:
    assert imported("agent", "server") == set()


def test_the_server_imports_of_the_agent_only_what_both_need() -> None:
    allowed = tuple(f"{name}." for name in SHARED_WITH_SERVER)
    strangers = {
        entry
        for entry in imported("server", "agent")
        if not (f"{entry.split(': ')[1]}.").startswith(allowed)
        and entry.split(": ")[1] not in ("agent", *_parents(SHARED_WITH_SERVER))
    }
    assert strangers == set()


def test_what_the_server_no_longer_shares_is_off_the_list() -> None:
    used = {f"{entry.split(': ')[1]}." for entry in imported("server", "agent")}
    unused = {
        name for name in SHARED_WITH_SERVER if not any(u.startswith(f"{name}.") for u in used)
    }
    assert unused == set()


def _parents(names: set[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


def test_packages_import_no_tests() -> None:
    for package in PACKAGES:
        assert imported(package, "tests") == set()


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "scripts"])
def test_no_other_file_is_long_either(folder: str) -> None:
    for path in modules(folder):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST, path


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is_and_is_short(package: str) -> None:
    for path in modules(package):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LONGEST, f"{path} holds more than one concept"
        tree = ast.parse(text)
        assert ast.get_docstring(tree) or not tree.body, f"{path} has no docstring"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_executable_is_read(package: str) -> None:
    for path in modules(package):
        names = set(imports(path))
        assert not names & EXECUTABLE, path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "eval", "exec"), f"{path}: {called}"
            assert "allow_pickle" not in {word.arg for word in node.keywords}, f"{path}: {called}"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_committed_files_name_no_registry_and_are_small() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = ("py" + "pi.org", "python" + "hosted.org", "--index" + "-url", "--extra-" + "index")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        assert path.stat().st_size < 500_000, f"{name} is too large to be committed"
        text = path.read_text(encoding="utf-8", errors="ignore")
        assert not [host for host in hosts if host in text], name
