"""What waits, and what that costs: pictures from before an episode, and those behind an encoder."""

from __future__ import annotations

import numpy as np
import pytest

from agent.ipc import FRAME_FAULT, FRAME_INTERVENTION, FrameBuffer, Message
from agent.recorder.before import Before
from agent.recorder.intake import Frame, Intake
from agent.recorder.ladder import Ladder
from tests.agent.recorder.frames import FPS, JOINTS, LAYOUT, pictures, row


def test_a_queue_that_fills_costs_resolution_first_and_pictures_last() -> None:
    ladder = Ladder(100)
    fills = [0, 24, 25, 49, 50, 99, 100, 120]
    assert [ladder.quality(fill) for fill in fills] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0, 0]
    assert ladder.steps_down == 3


def test_quality_comes_back_when_half_is_done_and_does_not_flicker() -> None:
    ladder = Ladder(100)
    ladder.quality(60)
    assert ladder.quality(49) == 0.25
    assert ladder.quality(24) == 0.5
    assert ladder.quality(20) == 0.5
    assert ladder.quality(12) == 1.0


def ring(seconds: float, frames: int, limit_b: int = 10_000_000) -> Before:
    before = Before(seconds, FPS, limit_b)
    for i in range(frames):
        before.add(Frame(row(i), pictures(i)))
    return before


def test_an_episode_begins_with_the_frames_of_the_last_seconds() -> None:
    taken = list(ring(2.0, 90).take(90, 1.0))
    assert [frame.row.tick for frame in taken] == list(range(60, 90))
    assert all(isinstance(p, bytes) for frame in taken for p in frame.pictures.values())


def test_it_has_no_more_than_was_kept_and_is_empty_afterwards() -> None:
    before = ring(1.0, 90)
    assert len(list(before.take(90, 5.0))) == FPS
    assert len(before) == before.nbytes == 0


def test_its_memory_is_bounded() -> None:
    before = ring(60.0, 300, limit_b=50_000)
    assert 0 < before.nbytes <= 50_000


def test_frames_on_the_other_side_of_a_long_pause_are_not_of_this_episode() -> None:
    before = ring(60.0, 30)
    for i in range(100, 110):
        before.add(Frame(row(i), pictures(i)))
    assert [frame.row.tick for frame in before.take(110, 60.0)] == list(range(100, 110))


def test_it_begins_with_a_picture_of_each_camera_even_if_that_is_older() -> None:
    before = Before(0.1, FPS, 1_000_000)
    before.add(Frame(row(0), pictures(0)))
    for i in range(1, 5):
        before.add(Frame(row(i), {"front": None, "top": None}))
    first, *rest = before.take(5, 1.0)
    assert first.row.tick == 2
    assert all(first.pictures.values())
    assert not any(p for frame in rest for p in frame.pictures.values())


def frame(
    tick: int, *, slot: int | None = 0, taken: float | None = None, marks: int = 0
) -> Message:
    fields = {"tick": tick, "t": 100 + tick / FPS, "taken": {}, "marks": marks}
    if taken is not None:
        fields["taken"] = {"front": taken, "top": 100 + tick / FPS}
    if slot is None:
        return Message("frame", fields, np.arange(4, dtype=np.float32).tobytes())
    return Message("frame", fields | {"slot": slot})


@pytest.fixture
def intake(tmp_path_factory: pytest.TempPathFactory) -> Intake:
    buffer = FrameBuffer(tmp_path_factory.mktemp("i") / "ring", LAYOUT, 1, create=True)
    buffer[0].state[:] = [1, 2]
    buffer[0].images["front"][:] = 90
    return Intake(buffer, Ladder(100))


def test_a_frame_is_copied_out_of_the_ring(intake: Intake) -> None:
    row, pictures = intake.take(frame(5, marks=FRAME_FAULT + FRAME_INTERVENTION), 0)
    assert (row.tick, row.intervention, row.fault) == (5, True, True)
    assert row.state.tolist() == [1, 2]
    assert row.quality == (1, 1)
    assert np.asarray(pictures["front"]).mean() == 90


def test_a_picture_that_a_late_camera_gave_before_is_the_one_before(intake: Intake) -> None:
    intake.take(frame(5, taken=100.1), 0)
    row, pictures = intake.take(frame(6, taken=100.1), 0)
    assert pictures["front"] is None
    assert row.quality == (0, 1)
    assert row.taken_s[0] == 100.1
    intake.begin()
    assert intake.take(frame(7, taken=100.1), 0).pictures["front"] is not None, "a new episode"


def test_a_row_that_had_no_room_in_the_ring_repeats_all_pictures(intake: Intake) -> None:
    intake.take(frame(5), 0)
    row, pictures = intake.take(frame(6, slot=None), 0)
    assert not any(pictures.values())
    assert row.quality == (0, 0)
    assert (row.state.tolist(), row.action.tolist()) == ([0, 1], [2, 3])
    assert len(row.state) == len(JOINTS)


def test_with_a_full_queue_pictures_are_reduced(intake: Intake) -> None:
    row, pictures = intake.take(frame(5), 30)
    assert row.quality == (0.5, 0.5)
    assert np.asarray(pictures["front"]).shape == (24, 32, 3)
