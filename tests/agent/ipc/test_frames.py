"""Frames in shared memory keep a robot's features in LeRobot's order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.ipc import FrameBuffer, FrameLayout, ImageSpec

LAYOUT = FrameLayout.from_features(
    {"pan.pos": float, "lift.pos": float, "wrist": (48, 64, 3), "front": (24, 32, 3)},
    {"pan.pos": float, "lift.pos": float},
)


def test_the_layout_follows_the_features() -> None:
    assert LAYOUT.state_names == ("pan.pos", "lift.pos")
    assert LAYOUT.action_names == ("pan.pos", "lift.pos")
    assert LAYOUT.images == (ImageSpec("wrist", 48, 64), ImageSpec("front", 24, 32))


def test_the_layout_survives_json() -> None:
    assert FrameLayout.from_json(LAYOUT.to_json()) == LAYOUT


def test_what_one_side_writes_the_other_side_reads(tmp_path: Path) -> None:
    ours = FrameBuffer(tmp_path / "f", LAYOUT, 3, create=True)
    theirs = FrameBuffer(tmp_path / "f", LAYOUT, 3)
    for slot in range(3):
        ours[slot].state[:] = [slot, -slot]
        ours[slot].action[:] = [slot + 0.5, 0]
        for view in ours[slot].images.values():
            view[:] = slot + 10
    for slot in range(3):
        assert theirs[slot].state.tolist() == [slot, -slot]
        assert theirs[slot].action.tolist() == [slot + 0.5, 0]
        assert theirs[slot].images["wrist"].shape == (48, 64, 3)
        assert all(np.all(view == slot + 10) for view in theirs[slot].images.values())
