"""The ServerApp: one run of a round, in a process that the SuperExec starts.

It reads what was asked for from the server's state and writes events, updates and releases there.
It talks to the robots through Flower alone.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from robots.errors import ArmadaError, FederationError
from server.base import open_base
from server.paths import ServerState
from server.registry.releases import Releases
from server.rounds.asking import RoundEndedError
from server.rounds.course import Course
from server.rounds.folder import RoundFolder
from server.rounds.record import read_record
from server.rounds.watch import hold

STATE_VARIABLE = "ARMADA_SERVER_STATE"
"""Environment variable with the state folder. It comes from the SuperExec, not with the run: who
starts a run can't choose where the server reads and writes."""

log = logging.getLogger(__name__)
app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]
def main(grid: Grid, context: Context) -> None:
    """Go on with the round that ``round-id`` names.

    Raises:
        ArmadaError: it failed; the reason is also its last event.
    """
    state = ServerState(Path(os.environ[STATE_VARIABLE]))
    round_id = int(context.run_config["round-id"])
    folder = RoundFolder.of(state.rounds, round_id)
    if not folder.path.is_dir():
        raise FederationError("there is no such round", field="round-id", value=round_id)
    lock = hold(folder, context.run_id)
    try:
        if read_record(folder).over:
            log.info("round %d is over", round_id)
            return
        _follow(grid, state, folder, context.run_id)
    finally:
        os.close(lock)


def _follow(grid: Grid, state: ServerState, folder: RoundFolder, run: int) -> None:
    try:
        course = Course(grid, folder, open_base(state.base), Releases(state.releases), run=run)
        made = course.follow()
    except RoundEndedError as error:
        log.info("%s", error)
    except ArmadaError as error:
        folder.events.emit("failed", reason=str(error))
        raise
    else:
        folder.events.emit("finished", releases=made)
