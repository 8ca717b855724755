"""Which encoder: the one asked for, or a hardware encoder that has proved itself.

LeRobot's ``auto`` takes the first hardware encoder that FFmpeg was built with, whether or not there
is such a device (PyAV's wheels for Linux are built with NVENC: without a card every episode fails),
and else ``libsvtav1``, which at 30 Hz needs more than a small computer has. Here a candidate must
encode a few pictures that can be decoded again; without one it is ``h264``, as by hand.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import av
import numpy as np
from lerobot.configs import RGBEncoderConfig
from lerobot.configs.video import HW_VIDEO_CODECS

from agent.recorder.video import VideoFile, count_pictures
from robots.errors import ConfigError

logger = logging.getLogger(__name__)

SOFTWARE = "h264"
_TRIAL_SIZE = (240, 320)
"""Hardware encoders refuse small pictures (NVENC below 145×49)."""

_TRIAL_PICTURES = 4
_TRIAL_FPS = 30


def choose_encoder(vcodec: str) -> RGBEncoderConfig:
    """LeRobot's settings of the encoder to use.

    Args:
        vcodec: As ``--dataset.vcodec``.

    Raises:
        ConfigError: there is no such encoder.
    """
    if vcodec != "auto":
        return _settings(vcodec)
    for name in HW_VIDEO_CODECS:
        try:
            settings = _settings(name)
        except ConfigError:
            continue
        if _works(settings):
            logger.info("hardware encoder: %s", name)
            return settings
    return _settings(SOFTWARE)


def _settings(vcodec: str) -> RGBEncoderConfig:
    try:
        return RGBEncoderConfig(
            vcodec=vcodec,
            crf=30 if "av1" in vcodec else 23,
            preset="ultrafast" if vcodec == SOFTWARE else None,
        )
    except ValueError as error:
        raise ConfigError(str(error), field="--dataset.vcodec", value=vcodec) from error


def _works(settings: RGBEncoderConfig) -> bool:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (_TRIAL_PICTURES, *_TRIAL_SIZE, 3), np.uint8)
    height, width = _TRIAL_SIZE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.mp4"
        try:
            file = VideoFile(path, settings, _TRIAL_FPS, width, height, threads=0)
            for picture in pictures:
                file.add(picture)
            file.close()
            return count_pictures(path, _TRIAL_FPS) == len(pictures)
        except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
            logger.info("no hardware encoder %s: %s", settings.vcodec, error)
            return False
