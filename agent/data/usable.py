"""Which of a data set's episodes may be learned from and measured on: those that the quality gate
let pass.

The recorder judges each episode when it is saved and keeps the verdict in its marks; here it is
only read. An episode with marks and without a verdict is still being judged, and waits for it. One
without marks wasn't recorded here, or comes from a tool of LeRobot's: nothing is held against it,
for whoever brings a data set has `armada data check` for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.data.check.finding import Verdict
from agent.data.split import split
from agent.recorder.marks import MARKS, marks_path, read_marks
from robots.replay.info import DatasetInfo


@dataclass(frozen=True, kw_only=True)
class Usable:
    """Episodes that may be used.

    Args:
        episodes: Their numbers, in order of recording.
        unclean: How many aren't among them because the gate didn't find them clean.
        unjudged: How many because it has yet to judge them.
    """

    episodes: list[int]
    unclean: int = 0
    unjudged: int = 0

    @property
    def left_out(self) -> int:
        return self.unclean + self.unjudged

    @property
    def part(self) -> list[int] | None:
        """The episodes, if they are not all that there are."""
        return self.episodes if self.left_out else None

    def split(self) -> tuple[list[int], list[int]]:
        """Those for training and those held out, see :func:`agent.data.split.split`."""
        training, heldout = split(len(self.episodes))
        return [self.episodes[i] for i in training], [self.episodes[i] for i in heldout]

    def __str__(self) -> str:
        """What was left out, to be added to a reason; empty: nothing."""
        why = [f"{self.unclean} not clean"] if self.unclean else []
        why += [f"{self.unjudged} not judged yet"] if self.unjudged else []
        return f"; {self.left_out} more are left out ({', '.join(why)})" if why else ""


def usable(info: DatasetInfo, *, unclean: bool = False) -> Usable:
    """Those of a data set.

    Args:
        info: Its metadata.
        unclean: Whether its owner wants all of them, whatever the gate says.
    """
    every = [episode.index for episode in info.episodes]
    if unclean or not (info.root / MARKS).is_dir():
        return Usable(episodes=every)
    verdicts = {index: _verdict(info, index) for index in every}
    counts = list(verdicts.values())
    return Usable(
        episodes=[index for index in every if verdicts[index] == Verdict.CLEAN],
        unclean=sum(bool(v) and v != Verdict.CLEAN for v in counts),
        unjudged=counts.count(""),
    )


def _verdict(info: DatasetInfo, episode: int) -> str:
    """Empty: there is none yet. ``REPAIRED`` would be one of a repair that is still to be made."""
    if not marks_path(info.root, episode).is_file():
        return Verdict.CLEAN
    try:
        return str(read_marks(info.root, episode).get("verdict", ""))
    except (OSError, ValueError, AttributeError):
        # Torn: the recorder sets them aside when it starts next, and judges the episode again.
        return ""
