"""A picture of the doubtful places of an episode: what the camera saw there, what the joint did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from agent.data.check.finding import Finding, Weight
from agent.data.check.gate import IMAGES, EpisodeReport
from agent.data.check.look import show_images, show_video
from agent.data.check.rows import ACTION, STATE, read_rows
from robots.replay.info import DatasetInfo

_SHOWN = 6
_TILE = 256
"""Wide, of a picture: the arm and what it holds are to be recognised."""

_WIDE, _HIGH = _SHOWN * _TILE, 160
_INK, _STATE, _ACTION, _DOUBT = (20, 20, 20), (30, 90, 200), (220, 120, 20), (255, 225, 225)


def draw_sheets(info: DatasetInfo, reports: Sequence[EpisodeReport], folder: Path) -> list[Path]:
    """One picture for each episode that something was found in.

    Args:
        info: The data set.
        reports: Of its episodes.
        folder: Where they go; made if need be.

    Returns:
        The files.
    """
    written = []
    for report in reports:
        doubtful = [f for f in report.findings if f.weight is not Weight.NOTE or f.frames]
        if not doubtful:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"episode_{report.index:06d}.png"
        _stack([_strip(info, report, finding) for finding in doubtful]).save(path)
        written.append(path)
    return written


def _strip(info: DatasetInfo, report: EpisodeReport, finding: Finding) -> Image.Image:
    words = f"episode {report.index}: {finding}"
    if (seen := report.seen.get(finding.feature)) is not None:
        which = _around(finding, len(seen.brightness))
        return _titled(words, _camera(_pictures(info, report.index, finding.feature, which)))
    curves = _curves(info, report.index, finding.feature)
    return _titled(words, _plot(curves, finding)) if curves else _titled(words, None)


def _around(finding: Finding, have: int) -> list[int]:
    """Frames evenly from a little before the doubtful ones to a little after."""
    if not have:
        return []
    first, last = finding.frames or (0, have - 1)
    around = max(2, (last - first) // 6)
    begin, end = max(0, first - around), min(have - 1, last + around)
    return sorted({round(n) for n in np.linspace(begin, end, _SHOWN).tolist()})


def _pictures(
    info: DatasetInfo, episode: int, camera: str, which: list[int]
) -> list[tuple[int, NDArray[np.uint8]]]:
    """Of these frames, as wide as they are shown."""
    if not which:
        return []
    of = info.episode(episode)
    key = next(k for k in info.features if k.removeprefix(IMAGES) == camera)
    if info.features[key]["dtype"] == "video":
        found = show_video(of.videos[key], which, info.fps)
    else:
        found = show_images(read_rows(of, {}).first().table[key], which)
    return [(number, _fitted(picture)) for number, picture in found]


def _fitted(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    high = max(1, round(picture.shape[0] * _TILE / picture.shape[1]))
    return np.asarray(cv2.resize(picture, (_TILE, high), interpolation=cv2.INTER_AREA), np.uint8)


def _camera(pictures: list[tuple[int, NDArray[np.uint8]]]) -> Image.Image:
    """Side by side, with their numbers."""
    high = max((len(picture) for _, picture in pictures), default=0)
    image = Image.new("RGB", (_WIDE, high + 14), "white")
    draw = ImageDraw.Draw(image)
    for place, (number, picture) in enumerate(pictures):
        image.paste(Image.fromarray(picture), (place * _TILE, 0))
        draw.text((place * _TILE + 2, high + 1), f"frame {number}", fill=_INK)
    return image


def _curves(
    info: DatasetInfo, episode: int, joint: str
) -> list[tuple[tuple[int, int, int], NDArray[np.float32]]]:
    """What the joint was asked and did; the time between frames where no joint is named."""
    try:
        rows = read_rows(info.episode(episode), {})
    except (OSError, ValueError, KeyError):
        return []
    found = []
    for name, colour in ((STATE, _STATE), (ACTION, _ACTION)):
        if name in info.features and joint in info.names(name):
            found.append((colour, rows.vector(name)[:, info.names(name).index(joint)]))
    if not found and len(rows) > 1:
        found.append((_STATE, np.diff(rows.time_s).astype(np.float32)))
    return found


def _plot(
    curves: list[tuple[tuple[int, int, int], NDArray[np.float32]]], finding: Finding
) -> Image.Image:
    image = Image.new("RGB", (_WIDE, _HIGH), "white")
    draw = ImageDraw.Draw(image)
    length = max(len(values) for _, values in curves)
    finite = np.concatenate([v[np.isfinite(v)] for _, v in curves])
    if not len(finite) or length < 2:
        return image
    low, high = float(finite.min()), float(finite.max())
    scale = (_HIGH - 24) / max(high - low, 1e-6)
    across = (_WIDE - 1) / (length - 1)
    if finding.frames:
        first, last = finding.frames
        draw.rectangle((first * across - 1, 0, last * across + 1, _HIGH), fill=_DOUBT)
    for colour, values in curves:
        points: list[Any] = [
            (i * across, _HIGH - 12 - (float(v) - low) * scale)
            for i, v in enumerate(values)
            if np.isfinite(v)
        ]
        draw.line(points, fill=colour)
    draw.text((2, 0), f"{high:.3g}", fill=_INK)
    draw.text((2, _HIGH - 12), f"{low:.3g}   blue: measured, orange: asked", fill=_INK)
    return image


def _titled(words: str, image: Image.Image | None) -> Image.Image:
    below = 0 if image is None else image.height
    titled = Image.new("RGB", (_WIDE, below + 18), "white")
    ImageDraw.Draw(titled).text((2, 3), words[: _WIDE // 6], fill=_INK)
    if image is not None:
        titled.paste(image, (0, 18))
    return titled


def _stack(strips: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (_WIDE, sum(s.height + 6 for s in strips)), "white")
    at = 0
    for strip in strips:
        sheet.paste(strip, (0, at))
        at += strip.height + 6
    return sheet
