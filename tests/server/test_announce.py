"""Where robots are told that a release is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agent.link.messages import ReleaseNotice, decode
from server.announce import Announcer, reachable


@pytest.mark.parametrize(("host", "said"), [
    ("192.168.1.20", "192.168.1.20:29300"),
    ("fleet.example.org", "fleet.example.org:29300"),
    ("127.0.0.1", "127.0.0.1:29300"),
    ("0.0.0.0", ""),
    ("::", ""),
])  # fmt: skip
def test_an_address_that_is_everywhere_is_not_announced(host: str, said: str) -> None:
    assert reachable(host, 29300) == said


@pytest.mark.parametrize(("host", "address"), [("192.168.1.20", "192.168.1.20:1"), ("0.0.0.0", "")])
def test_a_notice_says_where_a_release_is_if_the_server_knows(host: str, address: str) -> None:
    said: list[bytes] = []
    config = SimpleNamespace(fleet="test", host=host, port=1)
    releases = SimpleNamespace(latest=3, manifest=lambda version: {"digest": "sha256:3"})
    line = SimpleNamespace(connections=1, connected=True, say=lambda topic, text: said.append(text))

    Announcer(config, releases, line).announce()  # type: ignore[arg-type]

    (notice,) = [decode(ReleaseNotice, text) for text in said]
    assert (notice.version, notice.address) == (3, address)
