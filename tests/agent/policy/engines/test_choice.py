"""Which engine is taken, and what is said where the wished one isn't there."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from agent.policy.engines import choice
from agent.policy.engines.choice import check_possible, choose_engine
from agent.policy.engines.config import EngineConfig
from agent.policy.load import LoadedPolicy, load_policy
from robots.errors import ConfigError, ModelError


@pytest.fixture
def fresh(two_cameras: Path) -> LoadedPolicy:
    return load_policy(str(two_cameras))


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a host where armada was installed without ``fast``."""
    monkeypatch.setattr(choice, "_missing", lambda: "onnxruntime")


def test_auto_is_the_fastest_exact_one(fresh: LoadedPolicy) -> None:
    engine = choose_engine(fresh)

    assert (engine.name, engine.exact) == ("onnx", True)


@pytest.mark.parametrize("unit", ["avx512_bf16", "amx_bf16", "avx2"])
def test_where_bf16_is_faster_the_log_says_so_and_what_it_costs(
    fresh: LoadedPolicy,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    unit: str,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x", unit: True})
    with caplog.at_level(logging.INFO):
        choose_engine(fresh, name="smolvla-torch")
        assert choose_engine(fresh).name == "onnx"
    told = caplog.text.count("--inference.precision=bf16 is faster")
    assert told == (unit != "avx2"), "once, by auto"
    assert ("error of 0.3 %" in caplog.text) == (unit != "avx2")


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_torch_computes_and_the_log_says_so(
    fresh: LoadedPolicy, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        engine = choose_engine(fresh)

    assert engine.name == "smolvla-torch"
    assert "onnxruntime isn't installed (pip install 'armada[fast]')" in caplog.text


@pytest.mark.usefixtures("without_extra")
def test_nothing_moves_where_the_extra_is_missing() -> None:
    """Asked by ``armada run`` before the policy is loaded."""
    with pytest.raises(ModelError, match=r"isn't installed"):
        check_possible("smolvla", "onnx", "exact")


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize(("name", "precision"), [("onnx", "exact"), ("auto", "8bit")])
def test_what_was_asked_for_by_name_is_an_error_without_the_extra(
    fresh: LoadedPolicy, name: str, precision: str
) -> None:
    with pytest.raises(ModelError, match=r"engine=onnx.*isn't installed.*armada\[fast\]"):
        choose_engine(fresh, name=name, precision=precision)


def test_a_layer_that_only_torch_knows(
    fresh: LoadedPolicy, caplog: pytest.LogCaptureFixture
) -> None:
    class Adapter(nn.Linear):
        """As LoRA's: it computes more than a linear layer."""

    adapter = Adapter(16, 48)
    fresh.policy.model.state_proj = adapter  # type: ignore[union-attr]

    with caplog.at_level(logging.WARNING):
        assert choose_engine(fresh).name == "torch"
    assert "model.state_proj" in caplog.text
    with pytest.raises(ModelError, match=r"state_proj.*--inference\.engine=torch"):
        choose_engine(fresh, name="onnx")


@pytest.mark.parametrize(
    ("name", "precision"), [("onnx", "exact"), ("smolvla-torch", "exact"), ("auto", "8bit")]
)
def test_other_policies_are_computed_by_plain_torch(name: str, precision: str) -> None:
    check_possible("act", "auto", "exact")
    with pytest.raises(ModelError, match=r"type act is computed by plain torch only"):
        check_possible("act", name, precision)


def test_torch_is_lerobots_own(fresh: LoadedPolicy) -> None:
    assert choose_engine(fresh, name="torch") is fresh.engine


def test_the_runtime_is_for_the_cpu(fresh: LoadedPolicy) -> None:
    with pytest.raises(ModelError, match=r"on the CPU only.*--inference\.engine=smolvla-torch"):
        choose_engine(replace(fresh, device="cuda"), name="onnx")


@pytest.mark.parametrize(
    ("engine", "precision", "says"),
    [
        ("tensorrt", "exact", r"--inference\.engine=tensorrt: there is no such choice"),
        ("auto", "4bit", r"--inference\.precision=4bit: there is no such choice"),
        ("torch", "8bit", r"the engine torch doesn't compute so.*auto, onnx"),
        ("onnx", "bf16", r"the engine onnx doesn't compute so.*auto, smolvla-torch"),
    ],
)
def test_choices_that_are_none(engine: str, precision: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EngineConfig(engine=engine, precision=precision)
