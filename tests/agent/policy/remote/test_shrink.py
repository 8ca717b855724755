"""Pictures as they are sent: what the policy sees of them, and how many bytes they are."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from lerobot.policies.common.vla_utils import resize_with_pad
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
from torch.nn.functional import interpolate

from agent.policy.remote import wire
from agent.policy.remote.config import RemoteConfig
from agent.policy.remote.shrink import encode, shrink
from server.policy.sizes import sent_size

SMOLVLA = SmolVLAConfig(load_vlm_weights=False, device="cpu")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize(
    ("size", "sent"),
    [
        ((480, 640), (384, 512)),
        ((720, 1280), (288, 512)),
        ((640, 480), (512, 384)),
        ((1024, 1024), (512, 512)),
        # Smaller than the policy looks at it: enlarging adds bytes only.
        ((224, 224), (224, 224)),
        ((512, 512), (512, 512)),
    ],
)
def test_a_picture_is_sent_as_large_as_the_policy_looks_at_it(
    size: tuple[int, int], sent: tuple[int, int]
) -> None:
    assert sent_size(SMOLVLA, *size) == sent


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (481, 643), (1080, 1920), (100, 900)])
def test_the_policy_sees_what_it_would_have_seen_rounded_to_8_bits(size: tuple[int, int]) -> None:
    """Before JPEG: LeRobot's own resizing of the large picture, and of what was sent."""
    image = noise(*size)
    small = shrink(image, *sent_size(SMOLVLA, *size))

    exact = resize_with_pad(as_tensor(image), 512, 512, pad_value=0)
    seen = resize_with_pad(as_tensor(small), 512, 512, pad_value=0)
    assert (seen - exact).abs().max() <= 0.51


def test_resizing_again_on_the_server_changes_nothing() -> None:
    for height in range(64, 1100, 7):
        for width in (96, 333, 640, 1000, 1280, 1921):
            sent = sent_size(SMOLVLA, height, width)
            if sent != (height, width):
                assert sent_size(SMOLVLA, *sent) == sent
                assert max(sent) == 512


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    image = noise(64, 64)
    assert shrink(image, 64, 64) is image


def test_shrinking_is_torchs_bilinear() -> None:
    image = noise(480, 640)
    exact = interpolate(as_tensor(image), (384, 512), mode="bilinear", align_corners=False)
    assert np.array_equal(
        shrink(image, 384, 512), exact[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
    )


def test_colours_stay_what_they_are() -> None:
    image = np.full((64, 64, 3), (250, 120, 10), np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode(image, 90), np.uint8), cv2.IMREAD_COLOR)

    assert np.abs(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(int) - image).max() <= 4


@pytest.mark.shared_data
def test_two_cameras_of_640_by_480_are_45_kb_at_most(shared_data: Path) -> None:
    """Real pictures, enlarged to 640×480 as no recording here is so large; 1,843,684 bytes as
    LeRobot sends them. The median over the recording: a busy picture is larger."""
    video = next((shared_data / "so101_cloth_wrist_3ep").rglob("*.mp4"))
    quality = RemoteConfig.jpeg_quality
    with av.open(str(video)) as container:
        frames = [
            f.to_ndarray(format="rgb24")
            for i, f in enumerate(container.decode(video=0))
            if i % 40 == 0
        ]
    sizes = [
        len(
            encode(
                shrink(cv2.resize(f, (640, 480), interpolation=cv2.INTER_CUBIC), 384, 512), quality
            )
        )
        for f in frames
    ]
    assert len(frames) >= 15
    assert 2 * np.median(sizes) <= 45_000


def test_numbers_come_back_as_they_went() -> None:
    numbers = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    assert np.array_equal(wire.unpack(wire.pack(numbers), 6), numbers)
    with pytest.raises(ValueError, match="are no rows of 6 float32"):
        wire.unpack(bytes(4), 6)
