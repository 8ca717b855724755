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


LET_GO = 0
NOT_LET_GO = 1
KEPT = 3
UNKNOWN = 4


def main(argv: list[str]) -> int:
    """What became of the arms, the worst of two: let go, may still hold, keeps torque as it was
    configured, or is no arm whose servos are known here."""
    configure()
    register_all()
    config = parse(RunConfig, argv, prog="agent.control.let_go")
    robot, _ = make_robot(config.robot)
    became: set[int] = set()
    for prefix, follower in followers(robot):
        if is_feetech(follower.bus):
            became.add(_let_go(Limb(prefix, follower)))
    return next((status for status in (NOT_LET_GO, KEPT, LET_GO) if status in became), UNKNOWN)


def _let_go(limb: Limb) -> int:
    try:
        limb.bus.connect(handshake=False)
    except BUS_ERRORS as error:
        logger.warning("%s: %s", limb.port, brief(error))
        return NOT_LET_GO
    wanted = bool(getattr(limb.follower.config, "disable_torque_on_disconnect", True))
    left = limb.release(torque_off=wanted)
    if left:
        logger.error("%s: still hold or don't say: %s", limb.port, ", ".join(left))
        return NOT_LET_GO
    return LET_GO if wanted else KEPT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
