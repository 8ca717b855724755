"""The robots' tokens."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from robots.errors import ConfigError
from server.tokens import Tokens


def test_a_token_is_its_robots_and_is_kept_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens = Tokens(path)
    left, right = tokens.add("left"), tokens.add("right")

    assert Tokens(path).robot(left) == "left"
    assert tokens.robot(right) == "right"
    assert tokens.robot("") is None
    assert tokens.robot(left[:-1]) is None
    assert tokens.robots() == ["left", "right"]
    assert left not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_or_void_token_counts_at_once_where_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    server, admin = Tokens(path), Tokens(path)
    first = admin.add("arm")
    assert server.robot(first) == "arm"

    second = admin.add("arm")
    assert (server.robot(first), server.robot(second)) == (None, "arm")
    admin.remove("arm")
    assert server.robot(second) is None


def test_whoever_adds_a_token_the_file_stays_readable_to_whom_it_was(tmp_path: Path) -> None:
    """root adds one; the server, which is not root, reads them."""
    path = tmp_path / "tokens.json"
    Tokens(path).add("left")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12346)
    before = path.stat()
    Tokens(path).add("right")

    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        *(before.st_mode, before.st_uid, before.st_gid),
    )


def test_of_many_who_add_one_at_the_same_time_none_is_lost(tmp_path: Path) -> None:
    path, names = tmp_path / "tokens.json", [f"robot-{n:02}" for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda name: Tokens(path).add(name), names))

    assert [Tokens(path).robot(token) for token in added] == names


def test_a_token_for_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--tokens=.*can't be written: No such file"):
        Tokens(tmp_path / "none" / "tokens.json").add("arm")


def test_what_is_no_tokens_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    for text in ("[]", "{", '{"arm": 1}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"--tokens=.*can't be read"):
            Tokens(path).robots()
    with pytest.raises(ConfigError, match=r"robot=a/b: must be 1–63"):
        Tokens(path).add("a/b")
    path.unlink()
    with pytest.raises(ConfigError, match=r"robot=arm: has no token"):
        Tokens(path).remove("arm")
