"""Whatever a robot sends is an observation or a refusal that names the field."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.policy.continuation import Guiding
from agent.policy.remote import wire
from agent.policy.remote.shrink import encode
from agent.proto import policy_pb2 as pb
from robots.errors import ConfigError
from server.policy.decode import (
    decode_ask,
    decode_guiding,
    decode_jpeg,
    decode_layout,
    jpeg_size,
)
from server.policy.sessions import Session, View
from tests.datasets import CAMERA, JOINTS, SIZE, TASK
from tests.server.policy.conftest import LAYOUT, about, sight

FEATURE = f"observation.images.{CAMERA}"
SESSION = Session("name", "arm", LAYOUT, {}, (View(CAMERA, FEATURE, SIZE, SIZE),), 30, Guiding())


def picture(height: int = SIZE, width: int = SIZE) -> bytes:
    return encode(np.full((height, width, 3), (200, 40, 90), np.uint8), 90)


def question(**fields: object) -> pb.PredictRequest:
    state, _ = sight(0)
    default = {
        "state": wire.pack(state),
        "images": [pb.Image(key=CAMERA, jpeg=picture())],
        "task": TASK,
    }
    return pb.PredictRequest(**{**default, **fields})


def test_an_observation_is_what_was_sent() -> None:
    state, images = sight(3)
    plan = np.arange(12, dtype=np.float32).reshape(2, 6)
    jpeg = encode(images[CAMERA], 95)

    ask = decode_ask(
        question(
            state=wire.pack(state),
            images=[pb.Image(key=CAMERA, jpeg=jpeg)],
            plan=wire.pack(plan),
            frozen=1,
            seed=0,
        ),
        SESSION,
    )

    assert np.array_equal(ask.state, state)
    assert np.array_equal(ask.plan, plan)
    assert (ask.task, ask.frozen, ask.seed) == (TASK, 1, 0)
    assert np.abs(ask.images[FEATURE].astype(int) - images[CAMERA]).max() <= 3


def test_nothing_is_planned_and_no_seed_is_given_unless_said() -> None:
    ask = decode_ask(question(), SESSION)

    assert (ask.plan, ask.frozen, ask.seed) == (None, 0, None)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"state": b"123"}, "state: 3 bytes are no rows of 6 float32"),
        ({"state": b""}, "state=0: must be 6 float32"),
        ({"state": bytes(48)}, "state=48: must be 6 float32"),
        ({"state": wire.pack(np.full(6, np.nan, np.float32))}, "state: has numbers that are none"),
        (
            {"state": wire.pack(np.array([1, 2, -1e30, 4, 5, 6], np.float32))},
            r"state=-1\..*e\+30: must be from -1e\+06 to 1e\+06",
        ),
        (
            {"plan": wire.pack(np.full(6, 2e6, np.float32))},
            r"plan=2000000\.0: must be from -1e\+06 to",
        ),
        ({"plan": bytes(25)}, "plan: 25 bytes are no rows of 6 float32"),
        ({"plan": wire.pack(np.full(6, np.inf, np.float32))}, "plan: has numbers that are none"),
        ({"plan": bytes(24), "frozen": 2}, "frozen=2: must be at most the 1 rows of the plan"),
        ({"task": "x" * 1001}, "task: has more than 1000 characters"),
        ({"images": []}, "images=.*: must be one picture of each of"),
        ({"images": [pb.Image(key="attic", jpeg=picture())]}, "images=.*must be one picture"),
        ({"images": 2 * [pb.Image(key=CAMERA, jpeg=picture())]}, "images=.*must be one picture"),
        (
            {"images": [pb.Image(key=CAMERA, jpeg=b"GIF89a")]},
            f"images.{CAMERA}: must be a JPEG of {SIZE}×{SIZE}",
        ),
        (
            {"images": [pb.Image(key=CAMERA, jpeg=picture(32, 32))]},
            rf"images.{CAMERA}=\(32, 32\): must be a JPEG of {SIZE}×{SIZE}",
        ),
        (
            {"images": [pb.Image(key=CAMERA, jpeg=picture()[:60])]},
            f"images.{CAMERA}",
        ),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        decode_ask(question(**fields), SESSION)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"robot": "../etc"}, "robot=../etc: must be 1–63 letters"),
        ({"state_names": ["x"] * 65}, "state_names=65: are more than 64"),
        ({"action_names": [""]}, "action_names=: must have 1–1000 characters"),
        ({"cameras": [pb.Camera(key="a", height=0, width=5)]}, "cameras=0: must be from 1 to"),
        ({"cameras": [pb.Camera(key="a", height=5, width=1 << 31)]}, "cameras=.*: must be from"),
        ({"cameras": [pb.Camera(key="a", height=5, width=5)] * 17}, "cameras=17: are more than"),
    ],
)
def test_a_robot_that_can_not_be_is_named(change: dict[str, object], says: str) -> None:
    request = about().request()
    for name, value in change.items():
        request.ClearField(name)
        request.MergeFrom(pb.OpenRequest(**{name: value}))

    with pytest.raises(ConfigError, match=says):
        decode_layout(request)


def test_the_features_of_a_robot_are_what_it_said() -> None:
    assert decode_layout(about().request()) == LAYOUT
    assert decode_guiding(about().request()) is None
    assert decode_guiding(about(guidance=(False, 2.0)).request()) == Guiding(
        exact=False, max_weight=2.0
    )
    with pytest.raises(ConfigError, match=r"guidance.max_weight=-1.0: must be positive"):
        decode_guiding(about(guidance=(True, -1.0)).request())


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_picture_or_a_refusal(data: bytes) -> None:
    jpeg_size(data)
    with pytest.raises(ConfigError):
        decode_jpeg(data, SIZE, SIZE, CAMERA)


@given(st.lists(st.tuples(st.integers(2, 10_000), st.binary(min_size=1, max_size=4)), max_size=5))
@settings(max_examples=200, deadline=None)
def test_a_picture_with_wrong_bytes_is_one_of_the_right_size_or_a_refusal(
    cuts: list[tuple[int, bytes]],
) -> None:
    data = bytearray(picture())
    for at, wrong in cuts:
        data[at % len(data) : at % len(data) + len(wrong)] = wrong
    try:
        image = decode_jpeg(bytes(data), SIZE, SIZE, CAMERA)
    except ConfigError:
        return
    assert image.shape == (SIZE, SIZE, 3)
    assert image.dtype == np.uint8


@given(
    state=st.binary(max_size=40),
    plan=st.binary(max_size=60),
    frozen=st.integers(0, 2**32 - 1),
    jpeg=st.one_of(st.binary(max_size=60), st.just(picture())),
    key=st.one_of(st.just(CAMERA), st.text(max_size=5)),
    task=st.text(max_size=20),
)
@settings(max_examples=300, deadline=None)
def test_any_question_is_decoded_or_refused(
    state: bytes, plan: bytes, frozen: int, jpeg: bytes, key: str, task: str
) -> None:
    request = question(
        state=state, plan=plan, frozen=frozen, images=[pb.Image(key=key, jpeg=jpeg)], task=task
    )
    try:
        ask = decode_ask(request, SESSION)
    except ConfigError:
        return
    assert ask.state.shape == (len(JOINTS),)
    assert np.isfinite(ask.state).all()


def test_the_size_is_read_from_the_header_before_anything_is_decoded() -> None:
    assert jpeg_size(picture(48, 96)) == (48, 96)
    # Claims 65,535 × 65,535 pixels: nobody takes 12 GB for that.
    lying = bytearray(picture())
    at = lying.index(b"\xff\xc0")
    lying[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    assert jpeg_size(bytes(lying)) == (65535, 65535)
    with pytest.raises(ConfigError):
        decode_jpeg(bytes(lying), SIZE, SIZE, CAMERA)


def test_a_tag_does_not_turn_a_picture() -> None:
    """Cameras' JPEGs may say which way is up; the policy has never seen that."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[: SIZE // 2] = 255
    plain = encode(image, 95)
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x03"
    exif += bytes(6)
    tagged = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    assert cv2.imdecode(np.frombuffer(tagged, np.uint8), cv2.IMREAD_COLOR)[0, 0, 0] < 20

    assert decode_jpeg(tagged, SIZE, SIZE, CAMERA)[0, 0, 0] > 235


def test_a_picture_of_very_many_scans_is_refused() -> None:
    """Each goes over all blocks: a file of some 100 kB would take a core for minutes."""
    plain = picture()
    scan = plain[plain.index(b"\xff\xda") : -2]
    many = plain[:-2] + 100 * scan + plain[-2:]

    with pytest.raises(ConfigError, match="has more than 64 scans"):
        decode_jpeg(many, SIZE, SIZE, CAMERA)
