"""A SuperLink that hangs is told from one that works; the real one, stopped in its tracks."""

from __future__ import annotations

import signal
from pathlib import Path

from server.health import Health
from tests.helpers import free_port, wait_until
from tests.server.deployment import Deployment


def test_a_superlink_that_stands_still_hangs(engine: Deployment) -> None:
    ca = Path(engine.ca)
    health = Health(engine.config.control_address, ca, silent_s=0.1, every_s=0.0)
    assert health.answers()
    assert not health.hangs()

    superlink = engine.children["superlink"]
    superlink.tell(signal.SIGSTOP)
    wait_until(health.hangs)

    superlink.tell(signal.SIGCONT)
    wait_until(health.answers)
    assert not health.hangs()


def test_nobody_there_is_no_answer_and_time_is_given(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"

    assert not Health(address, None).answers()
    assert not Health(address, None, silent_s=60.0, every_s=0.0).hangs()
