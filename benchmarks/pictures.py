"""What a picture costs on its way to a policy server: ``python -m benchmarks.pictures``.

Real frames are enlarged to 640×480, sent as SmolVLA looks at them (512×384) in several qualities,
and compared with what it would have seen. Beside it what the pictures of a recording went through
that policies are trained on: AV1 at crf 30, two frames a group, as LeRobot 0.6.1 encodes; both of
a group are the same picture, as of an arm that stands still. All in one run, of the same frames.
Bytes are of two pictures: one observation.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from agent.policy.remote.config import RemoteConfig
from agent.policy.remote.shrink import encode, shrink

SHARED = Path(os.environ.get("ARMADA_SHARED", Path(__file__).parents[2] / "shared"))
QUALITIES = (65, 70, 75, 80, 85, 90)
_RAW = (480, 640)
_SENT = (384, 512)
_REPEATS = 5
_GROUP = 2

Frame = NDArray[np.uint8]


def frames(video: Path, every: int) -> list[Frame]:
    """Every so many frames, enlarged to 640×480."""
    with av.open(str(video)) as container:
        found = [
            frame.to_ndarray(format="rgb24")
            for i, frame in enumerate(container.decode(video=0))
            if i % every == 0
        ]
    return [
        np.asarray(cv2.resize(f, _RAW[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
        for f in found
    ]


def by_jpeg(pictures: Sequence[Frame], quality: int) -> tuple[list[int], float, list[Frame]]:
    """(bytes of each, ms to shrink and encode one, what arrives)."""
    best_s = float("inf")
    for _ in range(_REPEATS):
        began = time.perf_counter()
        sent = [encode(shrink(p, *_SENT), quality) for p in pictures]
        best_s = min(best_s, time.perf_counter() - began)
    seen = [
        np.asarray(
            cv2.cvtColor(
                cv2.imdecode(np.frombuffer(s, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
            ),
            np.uint8,
        )
        for s in sent
    ]
    return [len(s) for s in sent], 1e3 * best_s / len(pictures), seen


def by_video(pictures: Sequence[Frame]) -> list[Frame]:
    """What a policy is shown of the same pictures when they come out of a recording."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream(
            "libsvtav1", rate=30, options={"g": str(_GROUP), "crf": "30", "preset": "12"}
        )
        stream.width, stream.height, stream.pix_fmt = _RAW[1], _RAW[0], "yuv420p"
        for picture in (p for p in pictures for _ in range(_GROUP)):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [shrink(np.asarray(d, np.uint8), *_SENT) for d in decoded[::_GROUP]]


def rms(seen: Sequence[Frame], meant: Sequence[Frame]) -> float:
    """Root mean square of the difference, in levels of 255."""
    errors = [np.mean((a.astype(np.float32) - b) ** 2) for a, b in zip(seen, meant, strict=True)]
    return float(np.sqrt(np.mean(errors)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--dataset", type=Path, default=SHARED / "data" / "so101_cloth_wrist")
    parser.add_argument("--every", type=int, default=100, help="one frame of so many")
    parser.add_argument("--markdown", action="store_true", help="a table for docs/")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = frames(next(args.dataset.rglob("*.mp4")), args.every)
    meant = [shrink(p, *_SENT) for p in pictures]
    rows = [["as a recording (AV1, crf 30)", "", "", "", f"{rms(by_video(pictures), meant):.2f}"]]
    for quality in QUALITIES:
        sizes, ms, seen = by_jpeg(pictures, quality)
        name = f"JPEG {quality}" + " (default)" * (quality == RemoteConfig.jpeg_quality)
        median, most = 2 * float(np.median(sizes)), 2 * max(sizes)
        rows.append([name, f"{median:,.0f}", f"{most:,}", f"{ms:.2f}", f"{rms(seen, meant):.2f}"])
    head = ["", "bytes of two, median", "most", "ms to shrink and encode one", "RMS error, of 255"]
    bar = " | " if args.markdown else "  "
    edge = "| " if args.markdown else ""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, *([["-" * w for w in widths]] if args.markdown else []), *rows]
    print(f"{len(pictures)} frames of {args.dataset.name}, 640×480, sent as 512×384")
    for line in lines:
        text = bar.join(c.ljust(w) for c, w in zip(line, widths, strict=True))
        print(edge + text + edge.rstrip().rjust(2 * bool(edge)))


if __name__ == "__main__":
    main()
