"""Videos that are cut off, and encoders that are there or not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from lerobot.configs.video import HW_VIDEO_CODECS

from agent.recorder.codec import SOFTWARE, choose_encoder
from agent.recorder.video import VideoFile, count_pictures, pictures, to_plain, trim
from robots.errors import ConfigError, DataError
from tests.agent.recorder.frames import FPS, picture, shade

FRAMES = 30


def make(path: Path, codec: str, frames: int = FRAMES) -> VideoFile:
    file = VideoFile(path, choose_encoder(codec), FPS, 64, 48, threads=1)
    for i in range(frames):
        file.add(picture(i))
    return file


def check(path: Path, count: int) -> None:
    for i, seen in enumerate(pictures(path, FPS)):
        assert abs(float(seen.mean()) - shade(i)) < 6, i
    assert count_pictures(path, FPS) == count


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's schedulers")
def test_no_encoder_runs_at_a_real_time_priority(tmp_path: Path) -> None:
    """SVT-AV1 takes the highest there is, where it may: as root."""
    file = make(tmp_path / "v.mp4", "libsvtav1", frames=2)

    threads = [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
    policies = {os.sched_getscheduler(thread) for thread in threads}
    file.close()

    assert policies.isdisjoint({os.SCHED_FIFO, os.SCHED_RR})


def test_while_it_is_written_all_but_the_last_group_can_be_read(tmp_path: Path) -> None:
    file = make(tmp_path / "v.mp4", "h264")
    check(tmp_path / "v.mp4", FRAMES - 2)
    file.close()
    check(tmp_path / "v.mp4", FRAMES)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_wherever_it_is_cut_what_is_before_becomes_a_plain_video(
    tmp_path: Path, codec: str
) -> None:
    path, cut, plain = (tmp_path / name for name in ("v.mp4", "cut.mp4", "plain.mp4"))
    make(path, codec).close()
    whole = path.read_bytes()
    counts = []
    for size in np.linspace(0, len(whole), 12).astype(int):
        cut.write_bytes(whole[:size])
        trim(cut)
        counts.append(count_pictures(cut, FPS))
        if counts[-1]:
            to_plain(cut, plain, counts[-1], FPS)
            check(plain, counts[-1])
            with av.open(str(plain)) as video:
                assert video.streams.video[0].frames == counts[-1]
                assert (video.streams.video[0].start_time or 0) <= 0
    assert counts == sorted(counts)
    assert counts[-1] == FRAMES
    with pytest.raises(DataError, match="pictures"):
        to_plain(path, plain, FRAMES + 1, FPS)


def test_a_hole_in_the_middle_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    make(path, "h264").close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    path.write_bytes(data)
    assert 0 < count_pictures(path, FPS) < FRAMES


def test_a_reduced_picture_and_one_that_is_repeated(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    file = VideoFile(path, choose_encoder("h264"), FPS, 64, 48, threads=1)
    file.add(picture(0)[::2, ::2])
    file.again()
    file.add(picture(1))
    file.close()
    seen = list(pictures(path, FPS))
    assert [s.shape for s in seen] == [(48, 64, 3)] * 3
    assert [round(float(s.mean()), -1) for s in seen] == [shade(0), shade(0), shade(1)]


def test_auto_is_a_hardware_encoder_that_works_here_or_the_one_for_small_computers() -> None:
    """FFmpeg names encoders that it was built with; most machines have no such device."""
    chosen = choose_encoder("auto")
    assert chosen.vcodec in (*HW_VIDEO_CODECS, SOFTWARE)
    if chosen.vcodec == SOFTWARE:
        assert chosen.preset == "ultrafast"


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(ConfigError, match="vcodec"):
        choose_encoder("divx")
