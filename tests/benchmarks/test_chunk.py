"""What the benchmark of a chunk divides by."""

from __future__ import annotations

from benchmarks.chunk import rates
from benchmarks.chunk.contender import AS_PUBLISHED, FP32, OURS, RATES


def test_each_contender_is_measured_by_the_rate_of_its_own_runtime_and_type() -> None:
    assert RATES.keys() == {AS_PUBLISHED, FP32, *OURS}
    for name, kind in RATES.items():
        assert kind.startswith("ONNX") == name.startswith("onnx")
        assert kind.endswith("bf16") == ("bf16" in name)
        assert kind.endswith("8 bits") == name.endswith("8 bits")


def test_all_rates_can_be_measured() -> None:
    measured = rates.measure(RATES.values(), 1, rows=16)
    assert measured.keys() == set(RATES.values())
    assert all(rate > 0 for rate in measured.values())
