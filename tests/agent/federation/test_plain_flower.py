"""Messages of plain Flower strategies: bounded, checked, and declined with a reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from torch import Tensor

from agent.data.used import unused
from agent.federation.clientapp import app
from agent.paths import StateDir
from agent.policy import weights
from agent.policy.load import LoadedPolicy
from agent.policy.store import ModelStore
from agent.training.arrays import from_record, to_record
from agent.training.config import TrainConfig
from tests.datasets import make_dataset

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


@pytest.fixture(autouse=True)
def _no_nice(monkeypatch: pytest.MonkeyPatch) -> None:
    # In its own process it is niced; this one is pytest.
    monkeypatch.setattr("os.nice", lambda by: by)


@pytest.fixture(scope="module")
def dataset(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: what is known of the use of its episodes lies beside it."""
    return Path(shutil.copytree(small_dataset, tmp_path_factory.mktemp("plain") / "episodes"))


@pytest.fixture(scope="module")
def state(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> StateDir:
    state = StateDir(tmp_path_factory.mktemp("robot"))
    state.create()
    ModelStore(state.models).ensure_current(str(tiny_policy))
    return state


@pytest.fixture(scope="module")
def arrays(loaded: LoadedPolicy) -> dict[str, Tensor]:
    return weights.trainable(loaded.policy)


def ask(
    state: StateDir,
    dataset: Path,
    arrays: dict[str, Tensor],
    *,
    kind: str = "train",
    **change: Any,
) -> Message:
    current = ModelStore(state.models).current
    config = {
        **TrainConfig(steps=2, batch_size=2).to_dict(),
        "round-id": 3,
        "server-round": 1,
        "base-digest": current.base_digest if current else "",
        **change,
    }
    content = RecordDict({"arrays": to_record(arrays), "config": ConfigRecord(config)})
    message = Message(content=content, message_type=kind, dst_node_id=1)
    message.metadata.__dict__["_message_id"] = "asked"
    node = {
        "name": "left",
        "state-dir": str(state.root),
        "dataset-root": str(dataset),
        "threads": 1,
    }
    context = Context(run_id=1, node_id=1, node_config=node, state=RecordDict(), run_config={})
    answer: Message = app(message, context)
    return answer


def test_it_trains_and_leaves_a_record(
    state: StateDir, dataset: Path, arrays: dict[str, Tensor]
) -> None:
    reply = ask(state, dataset, arrays)

    update = from_record(reply.content["arrays"])
    record = json.loads((state.training / "last_train.json").read_text())
    assert record["update-digest"] == weights.digest(update)
    assert record["received-digest"] == weights.digest(arrays)
    assert record["samples"] == reply.content["metrics"]["num-examples"] == 48
    assert reply.content["report"]["robot"] == "left"
    assert reply.content["report"]["update-digest"] == weights.digest(update)
    # The last of three is held out: it was not learned from and has to stay.
    assert unused(dataset) == [2]


def test_it_measures(state: StateDir, dataset: Path, arrays: dict[str, Tensor]) -> None:
    reply = ask(state, dataset, arrays, kind="evaluate")

    assert reply.content["metrics"]["num-examples"] == 1
    assert reply.content["metrics"]["held-out-error"] > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"steps": 10**8}, "left: --train.steps=100000000: must be from 1 to 100000"),
        ({"base-digest": "sha256:" + "0" * 64}, "left: the robot's base policy is sha256:"),
    ],
)
def test_it_declines_what_is_beyond_its_bounds(
    state: StateDir, dataset: Path, arrays: dict[str, Tensor], change: dict[str, Any], reason: str
) -> None:
    reply = ask(state, dataset, arrays, **change)

    assert reply.has_error()
    assert reply.error.reason.startswith(reason)
    assert json.loads((state.training / "last_decline.json").read_text())["reason"] in reason + (
        reply.error.reason
    )


@pytest.mark.parametrize(
    ("training", "reason"),
    [
        ({"opt_out": True}, "left: opted out: --training.opt_out"),
        ({"min_free_gb": 900_000.0}, "left: low disk: "),
    ],
)
def test_what_its_owner_does_not_allow_is_declined(
    state: StateDir,
    dataset: Path,
    arrays: dict[str, Tensor],
    request: pytest.FixtureRequest,
    training: dict[str, Any],
    reason: str,
) -> None:
    state.config.write_text(yaml.safe_dump({"training": training}))
    request.addfinalizer(state.config.unlink)
    measured = ask(state, dataset, arrays, kind="evaluate")

    assert ask(state, dataset, arrays).error.reason.startswith(reason)
    assert measured.has_error() == ("opt_out" in training)


def test_it_declines_tensors_that_are_not_numbers(
    state: StateDir, dataset: Path, arrays: dict[str, Tensor]
) -> None:
    name = sorted(arrays)[0]
    bad = {**arrays, name: torch.full_like(arrays[name], float("nan"))}

    assert "not finite" in ask(state, dataset, bad).error.reason


def test_a_robot_without_episodes_declines(
    state: StateDir, arrays: dict[str, Tensor], tmp_path: Path
) -> None:
    single = make_dataset(tmp_path / "single", episodes=1, frames=4)

    assert "no such data set" in ask(state, tmp_path / "none", arrays).error.reason
    assert "too few to hold one out" in ask(state, single, arrays, kind="evaluate").error.reason


def test_a_robot_without_a_policy_declines(
    dataset: Path, arrays: dict[str, Tensor], tmp_path: Path
) -> None:
    reply = ask(StateDir(tmp_path), dataset, arrays)

    assert reply.error.reason == "left: the robot has no policy yet"
