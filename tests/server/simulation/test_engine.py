"""Whole simulations on Flower's engine: SuperLink, Ray, the robots' ClientApp."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.data.federated.catalogue import Catalogue, DataEntry
from agent.data.federated.catalogue_file import write_catalogue
from agent.policy.load import load_policy
from tests.datasets import make_dataset

pytestmark = pytest.mark.timeout(600)

CLIENTS = 3


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    root = make_dataset(folder / "shared", episodes=2 * CLIENTS, frames=8)
    entries = tuple(
        DataEntry(
            name=f"client-{i}",
            dataset=root.name,
            episodes=2 * CLIENTS,
            frames=16 * CLIENTS,
            train=(2 * i,),
            # The last has none to be measured on.
            evaluation=(2 * i + 1,) if i + 1 < CLIENTS else (),
        )
        for i in range(CLIENTS)
    )
    write_catalogue(Catalogue(clients=entries), folder / "datasets.yaml")
    return folder / "datasets.yaml"


def simulate(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``armada simulate``, as from a clone of a user who has nothing yet."""
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", "simulate", *words],
        cwd=folder,
        env=os.environ | {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def of(folder: Path) -> list[str]:
    """Command lines of processes that were started for a folder's simulation."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        if (process.info["environ"] or {}).get("HOME") == str(folder):
            found.append(" ".join(process.info["cmdline"] or []))
    return found


def test_three_clients_two_rounds(catalogue: Path, tmp_path: Path) -> None:
    words = (f"--data={catalogue}", "--num_server_rounds=2", "--output=out")
    done = simulate(tmp_path, *words, "--train.steps=2", "--train.batch_size=2")

    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["status"] == "finished"
    assert list(report["clients"]) == ["client-0", "client-1", "client-2"]
    start, first, second = report["rounds"]
    assert set(start["clients"]) == {"client-0", "client-1"}
    for entry in (first, second):
        assert sum("samples" in c for c in entry["clients"].values()) == CLIENTS
        assert "held_out_error" not in entry["clients"]["client-2"]
        assert "no held-out episodes" in entry["declined"]["client-2"]["evaluate"]
    load_policy(str(tmp_path / "out" / "policy"))
    # Nothing stays: no process, nothing in the user's home, nothing beside the shared data.
    assert of(tmp_path) == []
    assert not (tmp_path / ".flwr").exists()
    assert not list(catalogue.parent.glob(".*.used.json"))
    # The same again is refused before anything is started.
    again = simulate(tmp_path, *words)
    assert again.returncode == 2
    assert "holds another simulation" in again.stderr


def test_a_failure_is_one_line_and_a_status(catalogue: Path, tmp_path: Path) -> None:
    text = catalogue.read_text(encoding="utf-8").replace("dataset: shared", "dataset: gone")
    (tmp_path / "datasets.yaml").write_text(text, encoding="utf-8")

    done = simulate(tmp_path, "--data=datasets.yaml", "--output=out")

    assert done.returncode == 1
    assert "there is no such data set" in done.stderr
    assert done.stderr.count("\n") == 1
    assert json.loads((tmp_path / "out" / "report.json").read_text())["status"] == "failed"
    assert of(tmp_path) == []
