"""Answers how the robot's episodes add up, for a normaliser of the whole fleet.

Sums over all its training frames leave the robot, no frame does.
"""

from __future__ import annotations

from flwr.app import ConfigRecord, MetricRecord, RecordDict

from agent.federation.wire import (
    ANSWER,
    DECLINED,
    FAILED,
    FINISHED,
    METRICS,
    OPTED_OUT,
    REPORT,
    STATISTICS,
    TOO_FEW,
    Answer,
)
from agent.training.home import Home
from robots.errors import ArmadaError, DataError

NUM_EXAMPLES = "num-examples"


def statistics(home: Home) -> RecordDict:
    """The answer, with the statistics if there are any."""
    if home.training.opt_out:
        return _without(home, DECLINED, f"{OPTED_OUT}: --training.opt_out")
    try:
        return _gathered(home)
    except DataError as error:
        return _without(home, DECLINED, f"{TOO_FEW}: {error}")
    except ArmadaError as error:
        return _without(home, FAILED, str(error))


def _gathered(home: Home) -> RecordDict:
    from agent.data.open import open_info
    from agent.data.usable import usable
    from agent.federation.payload.statistics import FEATURES, gather, to_json

    found = usable(open_info(home.dataset_root), unclean=home.training.unclean)
    training, _ = found.split()
    if not training:
        raise DataError(f"there are no episodes to know statistics of{found}")
    sums = gather(home.dataset_root, training, home.rename_map)
    frames = sums[FEATURES[0]].count
    answer = Answer(job="", robot=home.name, state=FINISHED)
    return RecordDict(
        {
            ANSWER: answer.to_record(),
            METRICS: MetricRecord({NUM_EXAMPLES: frames}),
            REPORT: ConfigRecord({"robot": home.name, STATISTICS: to_json(sums)}),
        }
    )


def _without(home: Home, state: str, reason: str) -> RecordDict:
    answer = Answer(job="", robot=home.name, state=state, reason=reason)
    return RecordDict({ANSWER: answer.to_record()})
