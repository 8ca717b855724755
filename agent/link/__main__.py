"""``python -m agent.link --config JSON``: the link process, started by the supervisor."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys

from agent.link.config import LinkConfig
from agent.link.link import Link
from agent.logs import configure
from robots.errors import ArmadaError

logger = logging.getLogger(__name__)


async def _run(config: LinkConfig) -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    with contextlib.suppress(asyncio.CancelledError):
        await Link(config).run()


def main(argv: list[str]) -> int:
    """Keep the line until told to end."""
    configure()
    parser = argparse.ArgumentParser(description="A robot's MQTT link; see `armada run`.")
    parser.add_argument("--config", type=json.loads, required=True)
    args = parser.parse_args(argv)
    try:
        asyncio.run(_run(LinkConfig(**args.config)))
    except ArmadaError as error:
        logger.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
