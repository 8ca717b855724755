"""``python -m agent.control.let_go --config_path=…``: the last resort of the supervisor.

When control died or hung and the agent ends, nobody is left who would let the arm go: this opens
the port, takes torque away where the configuration says so, and closes it. Servos hear it whatever
else is broken; nothing is read first, nothing is moved.
"""

from __future__ import annotations

import logging
import sys

from agent.commands.parsing import parse
from agent.config import RunConfig
from agent.control.build import make_robot
from agent.logs import configure
from robots.arm.limb import Limb, brief
from robots.arm.parts import followers
from robots.arm.registers import BUS_ERRORS, is_feetech
from robots.registry import register_all

logger = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Status 1 when an arm could not be let go."""
    configure()
    register_all()
    config = parse(RunConfig, argv, prog="agent.control.let_go")
    robot, _ = make_robot(config.robot)
    failed = 0
    for prefix, follower in followers(robot):
        if not is_feetech(follower.bus):
            continue
        limb = Limb(prefix, follower)
        try:
            limb.bus.connect(handshake=False)
        except BUS_ERRORS as error:
            logger.warning("%s: %s", limb.port, brief(error))
            failed = 1
            continue
        wanted = bool(getattr(follower.config, "disable_torque_on_disconnect", True))
        left = limb.release(torque_off=wanted)
        if left:
            logger.error("%s: still hold or don't say: %s", limb.port, ", ".join(left))
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
