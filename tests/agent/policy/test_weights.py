"""Digests say whether two sets of tensors are the same; nothing else is taken on trust."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from agent.policy import weights
from agent.policy.load import LoadedPolicy
from robots.errors import ModelError


def tensors() -> dict[str, Tensor]:
    return {"b": torch.arange(6, dtype=torch.float32).reshape(2, 3), "a": torch.ones(3)}


def flip_a_bit(tensor: Tensor) -> Tensor:
    changed = tensor.clone()
    changed.view(torch.uint8).reshape(-1)[0] ^= 1
    return changed


def test_a_digest_depends_on_content_alone() -> None:
    again = dict(reversed(tensors().items()))
    strided = tensors() | {"b": tensors()["b"].t().contiguous().t()}

    assert weights.digest(again) == weights.digest(tensors())
    assert weights.digest(strided) == weights.digest(tensors())
    assert weights.digest(tensors()).startswith("sha256:")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: {"c": t["b"], "a": t["a"]}, id="a name"),
        pytest.param(lambda t: t | {"a": t["a"].double()}, id="a type"),
        pytest.param(lambda t: t | {"b": t["b"].reshape(3, 2)}, id="a shape"),
        pytest.param(lambda t: t | {"b": flip_a_bit(t["b"])}, id="one bit"),
        pytest.param(lambda t: {"a": t["a"]}, id="a tensor less"),
    ],
)
def test_any_difference_is_another_digest(change) -> None:  # type: ignore[no-untyped-def]
    assert weights.digest(change(tensors())) != weights.digest(tensors())


def test_types_that_numpy_lacks_and_scalars_have_digests() -> None:
    odd = {"scalar": torch.tensor(3), "bf16": torch.ones(2, dtype=torch.bfloat16)}

    assert weights.digest(odd) == weights.digest(dict(odd))


def test_a_file_has_the_digest_of_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights.save(path, tensors(), {"of": "a test"})

    assert weights.file_digest(path) == weights.digest(tensors())
    assert weights.digest(weights.load(path)) == weights.digest(tensors())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_parts_of_a_file_are_digested_as_fp32(tmp_path: Path) -> None:
    single, half = tmp_path / "fp32.safetensors", tmp_path / "bf16.safetensors"
    weights.save(single, tensors())
    weights.save(half, {k: v.bfloat16() for k, v in tensors().items()})

    assert weights.file_digest_parts(single, ["a"]) == weights.file_digest_parts(half, ["a"])
    assert weights.file_digest_parts(single, ["a"]) == (
        weights.digest({"a": tensors()["a"]}),
        weights.digest({"b": tensors()["b"]}),
    )
    with pytest.raises(ModelError, match=r"lacks 1 tensors .* such as c"):
        weights.file_digest_parts(single, ["c"])


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(ModelError, match="can't be read"):
        weights.load(path)
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(ModelError, match="can't be read"):
        weights.load(path)
    with pytest.raises(ModelError, match="can't be read"):
        weights.file_digest(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights.save(path, tensors())
    shared = torch.ones(4)

    with pytest.raises(RuntimeError):
        weights.save(path, {"one": shared, "two": shared})

    assert weights.file_digest(path) == weights.digest(tensors())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("received", "words"),
    [
        ({"b": tensors()["b"]}, "tensor=a: is missing"),
        (tensors() | {"c": torch.ones(1)}, "tensor=c: is unexpected"),
        (tensors() | {"a": torch.ones(4)}, r"tensor=a: has shape \(4,\), expected \(3,\)"),
        (tensors() | {"a": torch.ones(3).half()}, "tensor=a: has type torch.float16"),
        (tensors() | {"a": torch.tensor([1.0, torch.nan, 1.0])}, "tensor=a: .*not finite"),
    ],
)
def test_tensors_unlike_the_reference_are_refused_by_name(
    received: dict[str, Tensor], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        weights.check(received, tensors())


def test_tensors_like_the_reference_pass() -> None:
    weights.check({k: v + 1 for k, v in tensors().items()}, tensors())


def test_a_policy_falls_into_what_is_trained_and_what_is_frozen(loaded: LoadedPolicy) -> None:
    trained, frozen = weights.trainable(loaded.policy), weights.frozen(loaded.policy)

    assert trained.keys() | frozen.keys() == loaded.policy.state_dict().keys()
    assert not trained.keys() & frozen.keys()
    assert all("vlm_with_expert.vlm" not in name for name in trained)
    assert any("lm_expert" in name for name in trained)


def test_what_is_taken_from_a_policy_is_a_copy(loaded: LoadedPolicy) -> None:
    before = weights.digest(weights.trainable(loaded.policy))
    for tensor in weights.trainable(loaded.policy).values():
        tensor.zero_()

    assert weights.digest(weights.trainable(loaded.policy)) == before
