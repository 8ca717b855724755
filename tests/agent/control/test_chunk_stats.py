"""What is counted of chunks."""

from __future__ import annotations

import numpy as np

from agent.control.chunk_stats import ChunkStats, Seams
from agent.control.timeline import Planned


def planned(value: float, request: int, epoch: int = 0) -> Planned:
    return Planned(np.array([value, -value], np.float32), 0, 0, 1, request=request, epoch=epoch)


def test_nothing_measured_is_none_not_zero() -> None:
    counted = ChunkStats().to_json()
    assert counted["chunk_latency_ms_p50"] is None
    assert counted["chunk_stages_ms"] == {}
    assert counted["seams"] == {"count": 0, "rms": [], "max": []}


def test_latency_by_stage_and_what_no_stage_accounts_for() -> None:
    stats = ChunkStats()
    stats.note(
        1.0,
        {"wait_s": 7.0, "pre_s": 0.25, "infer_s": 0.5, "odd": "x", "worse": -1},
        {"vision_s": 0.125},
    )
    stages = stats.to_json()["chunk_stages_ms"]
    assert {name: at["p50"] for name, at in stages.items()} == {
        "pre": 250.0,
        "infer": 500.0,
        "infer/vision": 125.0,
        "transfer": 250.0,
        "idle": 7000.0,
    }


def test_a_seam_is_a_jump_between_two_chunks() -> None:
    seams = Seams()
    for tick, (value, request) in enumerate([(0, 1), (1, 1), (5, 2), (6, 2), (4, 3)]):
        seams.note(tick, planned(value, request))
    counted = seams.to_json()
    assert counted["within_chunks"] == {"count": 2, "rms": [1.0, 1.0], "max": [1.0, 1.0]}
    assert counted["seams"]["count"] == 2
    assert counted["seams"]["max"] == [4.0, 4.0]
    assert np.allclose(counted["seams"]["rms"], 10**0.5, rtol=0, atol=1e-9)


def test_a_pause_or_a_reset_is_no_seam() -> None:
    seams = Seams()
    seams.note(0, planned(0, 1))
    seams.note(1, None)
    seams.note(2, planned(9, 2))
    seams.note(3, planned(50, 3, epoch=1))
    seams.note(7, planned(99, 4, epoch=1))
    assert seams.to_json()["seams"]["count"] == 0


def test_a_jump_beyond_fp32_is_still_a_number() -> None:
    seams = Seams()
    for tick, value in enumerate([3e38, -3e38]):
        seams.note(tick, planned(value, 1))
    assert np.isfinite(seams.to_json()["within_chunks"]["max"]).all()
