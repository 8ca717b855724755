"""What a process said last."""

from __future__ import annotations

from pathlib import Path

from agent.supervisor.words import last_error, last_line


def test_the_last_line_is_why_if_it_is_an_error(tmp_path: Path) -> None:
    log = tmp_path / "supernode.log"
    assert (last_line(log), last_error(log)) == ("", "")

    log.write_text("2026-11-25 01:00:00 INFO flwr: starting\n\n")
    assert (last_line(log)[-8:], last_error(log)) == ("starting", "")

    with log.open("a") as file:
        file.write("2026-11-25 01:00:09 ERROR __main__: its clock is 9.0 s ahead: set it\n")
    assert last_error(log) == "its clock is 9.0 s ahead: set it"
