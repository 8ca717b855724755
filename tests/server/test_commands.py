"""``armada round``: what it refuses, and how an event reads."""

from __future__ import annotations

import pytest

from robots.errors import ConfigError, FederationError
from server.commands.round import main
from server.commands.view import sentence
from tests.helpers import free_port


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "round: needs a verb"),
        (["stop"], "round=stop: needs a verb"),
        (["start", "--train.steps=0"], "--train.steps=0: must be from 1 to 100000"),
        (["start", "--train.stepz=5"], "Did you mean --train.steps?"),
        (["start", "--rounds=0"], "--rounds=0: must be from 1 to 1000"),
        (["list", "--server=nowhere"], "--server=nowhere: must be host:port"),
        (["show", "1", "--root_certificates=/nowhere"], "--root_certificates=/nowhere"),
    ],
)
def test_a_mistake_is_one_line_with_its_flag(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        main(argv)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_that_does_not_answer_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(FederationError, match=f"no fleet server answers at {address}"):
        main(["list", f"--server={address}"])


def test_a_reply_reads_as_a_sentence() -> None:
    data = {
        "node": "7",
        "robot": "left",
        "samples": 40,
        "loss_first": 2.0,
        "loss_last": 1.0,
        "error_before": 0.5,
        "error_after": 0.25,
        "bytes_up": 283_840,
    }
    assert sentence("reply", data) == (
        "left: 40 frames, loss 2.0000 → 1.0000, held-out error 0.5000 → 0.2500, 283,840 B up"
    )
