"""Readers share a data set, a recorder has it alone, and nothing is left in the folder itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.data.lock import reading, recording, rewriting, writing
from robots.errors import DataError
from tests.helpers import wait_until

HOLDER = """
import sys
from pathlib import Path
from agent.data import lock
with getattr(lock, sys.argv[1])(Path(sys.argv[2])):
    print("has it", flush=True)
    sys.stdin.read()
"""


class Other:
    """Another process that holds a lock until it is told to go or is killed."""

    def __init__(self, kind: str, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, kind, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def has_it(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "has it\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(30) == 0


def waits(pid: int) -> bool:
    """Whether a process waits for a file lock, as the kernel's list of locks says (``->``)."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f" {pid} " in line for line in lines)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "episodes").mkdir()
    return tmp_path / "episodes"


def test_two_readers_at_once(root: Path) -> None:
    other = Other("reading", root)
    other.has_it()
    with reading(root):
        pass
    other.go()


def test_a_writer_waits_for_readers(root: Path) -> None:
    with reading(root):
        writer = Other("writing", root)
        wait_until(lambda: waits(writer.process.pid), what="the writer waits")
    writer.has_it()
    writer.go()


def test_a_reader_waits_for_the_writer(root: Path) -> None:
    with writing(root):
        reader = Other("reading", root)
        wait_until(lambda: waits(reader.process.pid), what="the reader waits")
    reader.has_it()
    reader.go()


def test_a_second_recorder_is_refused_by_name(root: Path) -> None:
    other = Other("recording", root)
    other.has_it()
    with pytest.raises(DataError, match="another recorder") as caught, recording(root):
        pass
    assert str(root) in str(caught.value)
    other.go()
    with recording(root):
        pass


def test_a_link_to_a_data_set_has_the_same_lock(root: Path) -> None:
    link = root.parent / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(root)
    other = Other("recording", root)
    other.has_it()
    with pytest.raises(DataError, match="another recorder"), recording(link):
        pass
    other.go()
    assert list(link.parent.iterdir()) == [link]


def test_a_killed_recorder_leaves_no_lock_behind(root: Path) -> None:
    other = Other("recording", root)
    other.has_it()
    other.process.kill()
    other.process.wait()
    with recording(root):
        pass


def test_a_recorder_can_save_while_it_holds_the_data_set(root: Path) -> None:
    with recording(root), writing(root):
        pass


def test_the_data_set_stays_a_plain_folder(root: Path) -> None:
    with recording(root), writing(root):
        assert list(root.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_users_reader_shares_the_lock() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "episodes"
        root.mkdir()
        with recording(root), writing(root):
            pass
        os.seteuid(65534)
        try:
            with reading(root):
                os.seteuid(0)
                with (
                    pytest.raises(DataError, match="is being read"),
                    rewriting(root, patience_s=0.1),
                ):
                    pass
        finally:
            os.seteuid(0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_needs_no_lock(shared_data: Path) -> None:
    before = sorted(shared_data.iterdir())
    with reading(shared_data / "so101_cloth_wrist_3ep"):
        assert sorted(shared_data.iterdir()) == before
