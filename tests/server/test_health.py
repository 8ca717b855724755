"""A SuperLink that hangs is told from one that works; the real one, stopped in its tracks."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

from server.health import Health
from tests.helpers import free_port, wait_until
from tests.server.deployment import Deployment


def test_a_superlink_that_stands_still_hangs(engine: Deployment) -> None:
    ca = Path(engine.ca)
    health = Health(engine.config.control_address, ca, silent_s=0.1, every_s=0.0)
    wait_until(health.answers)
    wait_until(lambda: not health.hangs())

    superlink = engine.children["superlink"]
    superlink.tell(signal.SIGSTOP)
    wait_until(health.hangs)

    superlink.tell(signal.SIGCONT)
    wait_until(health.answers)
    wait_until(lambda: not health.hangs())


def test_what_answers_in_another_language_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/9 what?\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert not Health(f"127.0.0.1:{server.getsockname()[1]}", None).answers()
        thread.join()


def test_nobody_there_is_no_answer_and_time_is_given(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"

    assert not Health(address, None).answers()
    assert not Health(address, None, silent_s=60.0, every_s=0.0).hangs()
