"""The store survives a crash at any point, and nothing damaged ever becomes current."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.policy import weights
from agent.policy.load import LoadedPolicy, load_policy
from agent.policy.merge import merge
from agent.policy.store import ModelStore, StoredModel
from agent.policy.stored import read_model
from robots.errors import ModelError

Variant = Callable[[int], Path]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def variant(tiny_policy: Path, loaded: LoadedPolicy, tmp_path: Path) -> Variant:
    """Makes policies with the tiny one's base and other trained tensors."""

    def make(number: int) -> Path:
        tensors = {k: v + number for k, v in weights.trainable(loaded.policy).items()}
        out = tmp_path / f"variant-{number}"
        if not out.exists():
            merge(tiny_policy, tensors, out)
        return out

    return make


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_an_empty_store_has_nothing(store: ModelStore) -> None:
    assert (store.current, store.previous, store.pending) == (None, None, None)
    assert store.list() == []
    assert store.history() == []
    with pytest.raises(ModelError, match="no such model"):
        store.promote("sha256:00")
    with pytest.raises(ModelError, match="no previous model"):
        store.rollback()


def test_a_model_is_known_by_its_digests(
    store: ModelStore, tiny_policy: Path, loaded: LoadedPolicy
) -> None:
    model = store.add(tiny_policy, origin="a test", parent="sha256:parent")

    assert model.digest == loaded.digest
    assert model.base_digest == weights.digest(weights.frozen(loaded.policy))
    assert model.trainable_digest == weights.digest(weights.trainable(loaded.policy))
    assert (model.origin, model.parent) == ("a test", "sha256:parent")
    assert store.find(model.short) == model
    assert store.current is None


def test_what_was_trained_on_one_base_has_its_digest(store: ModelStore, variant: Variant) -> None:
    one, two = (store.add(variant(n), origin="") for n in (1, 2))

    assert one.base_digest == two.base_digest
    assert one.trainable_digest != two.trainable_digest


def test_a_stored_model_loads_whatever_became_of_its_source(
    store: ModelStore, variant: Variant, loaded: LoadedPolicy
) -> None:
    source = variant(1)
    model = store.add(source, origin="")
    shutil.rmtree(source)

    assert load_policy(str(model.path)).digest == model.digest
    store.verify(model)


def test_the_same_folder_is_stored_once_wherever_it_lies(
    store: ModelStore, tiny_policy: Path, tmp_path: Path
) -> None:
    model = store.add(tiny_policy, origin="")

    assert store.add(shutil.copytree(tiny_policy, tmp_path / "copy"), origin="") == model
    assert store.add(model.path, origin="") == model
    assert len(store.list()) == 1


def test_the_same_weights_with_another_configuration_are_another_object(
    store: ModelStore, tiny_policy: Path, tmp_path: Path
) -> None:
    first = store.add(tiny_policy, origin="")
    changed = shutil.copytree(tiny_policy, tmp_path / "copy")
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(config | {"num_steps": 2}))
    second = store.add(changed, origin="")

    assert second.digest == first.digest
    assert second.path != first.path
    assert store.find(first.digest) == second
    assert store.promote(first).path == first.path


def test_a_folder_that_is_no_policy_is_refused(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        store.add(tmp_path, origin="")


def test_candidate_becomes_current_and_current_previous(
    store: ModelStore, variant: Variant
) -> None:
    one, two = (store.add(variant(n), origin="") for n in (1, 2))
    store.promote(one.digest)
    store.candidate(two.digest)
    assert (store.pending, store.current, store.previous) == (two, one, None)

    store.promote(two.digest, reason="better")
    assert (store.pending, store.current, store.previous) == (None, two, one)


def test_promoting_what_is_current_changes_nothing(store: ModelStore, variant: Variant) -> None:
    one, two = (store.add(variant(n), origin="") for n in (1, 2))
    for model in (one, two, two):
        store.promote(model.digest)

    assert (store.current, store.previous) == (two, one)


def test_rollback_goes_back_step_by_step(store: ModelStore, variant: Variant) -> None:
    one, two, three = (store.add(variant(n), origin="") for n in (1, 2, 3))
    for model in (one, two, three):
        store.promote(model.digest)

    assert store.rollback(reason="worse") == two
    assert (store.current, store.previous) == (two, one)
    assert store.rollback() == one
    assert (store.current, store.previous) == (one, None)
    with pytest.raises(ModelError, match="no previous model"):
        store.rollback()
    assert store.promote(three.digest) == three


def test_history_says_what_when_and_why(store: ModelStore, variant: Variant) -> None:
    one, two = (store.add(variant(n), origin="here") for n in (1, 2))
    store.promote(one.digest)
    store.promote(two.digest, reason="better on held-out episodes")
    store.rollback(reason="worse on the arm")

    events = [(e["event"], e["digest"], e.get("reason")) for e in store.history()]
    assert events[-2:] == [
        ("promote", two.digest, "better on held-out episodes"),
        ("rollback", one.digest, "worse on the arm"),
    ]
    times = [e["time"] for e in store.history()]
    assert times == sorted(times)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vlm/tokenizer.json"])
def test_a_flipped_bit_never_becomes_current(
    store: ModelStore, variant: Variant, name: str
) -> None:
    one, two = (store.add(variant(n), origin="") for n in (1, 2))
    store.promote(one.digest)
    flip_a_bit(two.path / name)

    with pytest.raises(ModelError, match=f"the file {name} is not what was added"):
        store.promote(two.digest)
    assert store.current == one


def test_missing_and_foreign_files_are_noticed(store: ModelStore, variant: Variant) -> None:
    one, two = (store.add(variant(n), origin="") for n in (1, 2))
    (one.path / "policy_preprocessor.json").unlink()
    (two.path / "payload.py").write_text("print()")

    with pytest.raises(ModelError, match=r"policy_preprocessor\.json is missing"):
        store.verify(one)
    with pytest.raises(ModelError, match=r"payload\.py was not there"):
        store.verify(two)


def test_rollback_to_a_damaged_model_is_refused(store: ModelStore, variant: Variant) -> None:
    one, two = (store.add(variant(n), origin="") for n in (1, 2))
    for model in (one, two):
        store.promote(model.digest)
    flip_a_bit(one.path / "model.safetensors")

    with pytest.raises(ModelError, match="not what was added"):
        store.rollback()
    assert store.current == two


def test_pruning_spares_what_has_a_name(store: ModelStore, variant: Variant) -> None:
    models = [store.add(variant(n), origin="") for n in range(1, 7)]
    store.promote(models[0].digest)
    store.promote(models[1].digest)
    store.candidate(models[2].digest)
    store.prune(keep=1)

    assert {m.digest for m in store.list()} == {m.digest for m in (*models[:3], models[5])}
    assert (store.pending, store.current, store.previous) == (models[2], models[1], models[0])


def test_a_model_that_is_pruned_while_others_are_listed_is_left_out(
    store: ModelStore, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (store.add(variant(n), origin="") for n in (1, 2))

    def pruned_first(folder: Path) -> StoredModel:
        if folder == one.path and folder.is_dir():
            folder.rename(folder.with_name(f".tmp-{folder.name}"))
        return read_model(folder)

    monkeypatch.setattr("agent.policy.store.read_model", pruned_first)
    assert store.list() == [two]


def test_a_name_that_moves_before_its_model_is_read_is_followed(
    store: ModelStore, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (store.add(variant(n), origin="") for n in (1, 2))
    store.candidate(one)

    def moved_first(folder: Path) -> StoredModel:
        if folder == one.path and folder.is_dir():
            (store.root / "candidate").unlink()
            (store.root / "candidate").symlink_to(f"objects/{two.path.name}")
            shutil.rmtree(folder)
        return read_model(folder)

    monkeypatch.setattr("agent.policy.store.read_model", moved_first)
    assert store.pending == two


def test_a_damaged_model_is_not_left_out(store: ModelStore, variant: Variant) -> None:
    one = store.promote(store.add(variant(1), origin=""))
    (one.path / "object.json").unlink()
    for look in (store.list, lambda: store.current):
        with pytest.raises(ModelError, match="isn't the record of a model"):
            look()


def test_others_wait_until_whoever_is_alone_with_the_store_is_done(
    store: ModelStore, variant: Variant
) -> None:
    one, two = (store.add(variant(n), origin="") for n in (1, 2))
    other = threading.Thread(target=lambda: ModelStore(store.root).promote(two))
    with store.alone():
        other.start()
        store.promote(one)
        other.join(0.2)
        assert store.current == one
    other.join()
    assert (store.current, store.previous) == (two, one)


def test_what_others_write_beside_the_names_is_not_swept_away(
    store: ModelStore, variant: Variant
) -> None:
    store.root.mkdir()
    theirs = store.root / ".fleet.json.4711.tmp"
    theirs.touch()
    store.promote(store.add(variant(1), origin=""))
    assert theirs.exists()


def test_what_a_crash_left_behind_is_hidden_and_then_swept_away(
    store: ModelStore, variant: Variant
) -> None:
    one = store.add(variant(1), origin="")
    store.promote(one.digest)
    half = store.root / "objects" / ".tmp-crashed"
    shutil.copytree(one.path, half)
    (store.root / ".current.4711.tmp").symlink_to("objects/nowhere")
    with (store.root / "history.jsonl").open("a") as file:
        file.write('{"time": 1, "ev')

    assert [m.digest for m in store.list()] == [one.digest]
    assert store.current == one
    events = len(store.history())

    two = store.add(variant(2), origin="")
    store.promote(two.digest)
    assert not half.exists()
    assert sorted(p.name for p in store.root.glob(".*")) == [".lock"]
    assert len(store.history()) == events + 2


def test_a_crash_between_the_two_pointers_of_a_promotion(
    store: ModelStore, variant: Variant
) -> None:
    one, two = (store.add(variant(n), origin="") for n in (1, 2))
    store.promote(one.digest)
    # As far as a promotion of two gets before it moves `current`.
    (store.root / "previous").symlink_to(f"objects/{one.path.name}")

    assert store.current == one
    with pytest.raises(ModelError, match="no previous model"):
        store.rollback()
    store.promote(two.digest)
    assert (store.current, store.previous) == (two, one)


def test_the_store_can_be_moved(store: ModelStore, variant: Variant) -> None:
    model = store.add(variant(1), origin="")
    store.promote(model.digest)
    moved = ModelStore(store.root.rename(store.root.with_name("moved")))

    assert moved.current is not None
    moved.verify(moved.current)
    assert load_policy(str(moved.current.path)).digest == model.digest


def test_the_first_start_imports_the_policy(store: ModelStore, tiny_policy: Path) -> None:
    model = store.ensure_current(str(tiny_policy))

    assert store.current == model
    assert model.origin == str(tiny_policy)
    assert store.ensure_current(str(tiny_policy)) == model


def test_later_starts_keep_what_the_robot_has_learned(
    store: ModelStore, tiny_policy: Path, variant: Variant
) -> None:
    store.ensure_current(str(tiny_policy))
    learned = store.add(variant(1), origin="release 1")
    store.promote(learned.digest)

    assert store.ensure_current(str(tiny_policy)) == learned


def test_another_policy_on_the_command_line_is_imported(
    store: ModelStore, tiny_policy: Path, other_policy: Path
) -> None:
    first = store.ensure_current(str(tiny_policy))
    second = store.ensure_current(str(other_policy))

    assert (store.current, store.previous) == (second, first)
    assert store.ensure_current(str(tiny_policy)) == first


def test_no_policy_there_leaves_the_store_as_it_is(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder nor a policy"):
        store.ensure_current(str(tmp_path / "nothing"))
    assert store.current is None


_PROMOTE_BY_TURNS = """
import sys
from pathlib import Path
from agent.policy.store import ModelStore
for _ in range(20):
    for digest in sys.argv[2:]:
        ModelStore(Path(sys.argv[1])).promote(digest)
"""


def test_readers_always_see_a_whole_model_while_others_write(
    store: ModelStore, variant: Variant
) -> None:
    digests = [store.add(variant(n), origin="").digest for n in (1, 2)]
    store.promote(digests[0])
    # Two writers, so that they also meet each other.
    command = [sys.executable, "-c", _PROMOTE_BY_TURNS, str(store.root), *digests]
    writers = [subprocess.Popen(command) for _ in range(2)]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        current = store.current
        assert current is not None
        assert current.digest in digests
        seen += 1

    assert seen > 0
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sum(e["event"] == "promote" for e in store.history()) > 2
    assert sorted(p.name for p in store.root.glob(".*")) == [".lock"]
