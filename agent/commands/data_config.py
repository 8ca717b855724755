"""Flags of ``armada data …``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass


@dataclass(kw_only=True)
class CheckConfig:
    """Judge a LeRobot data set episode by episode: CLEAN, REPAIRED (once it is) or REJECTED."""

    # Folder of a data set, a hub id that is on this machine, or a datasets.yaml, whose verdicts
    # are filled in.
    dataset: str = ""
    # Write a mended copy to this folder; nothing is changed in place.
    repair: str = ""
    # Draw what was doubtful into this folder, a picture an episode.
    pictures: str = ""
    # Print JSON instead of a table.
    json: bool = False


@dataclass(kw_only=True)
class DeleteConfig:
    """Delete episodes of a data set where it lies, for good; those that are left are numbered anew.
    Nobody may record to it meanwhile."""

    # Folder of a data set.
    dataset: str = ""
    # Which: 3,7 or 0-4.
    episodes: str = ""
    # Or: those that `armada data check` finds REJECTED.
    rejected: bool = False
    # Delete them. Without this you are only told which they are.
    yes: bool = False


@dataclass(kw_only=True)
class ListConfig:
    """The data sets of a federation: whose, how large, whether checked, whether on this machine."""

    # A datasets.yaml; empty: the example that Armada ships.
    file: str = ""
    # Print JSON instead of a table.
    json: bool = False


@dataclass(kw_only=True)
class ShowDataConfig(ListConfig):
    """One data set of a federation; without a name the whole file, to be edited."""

    # A client, an evaluation set or a data set.
    name: str = ""


@dataclass(kw_only=True)
class PushConfig:
    """Send a data set to the hub; run it again if it was cut off. HF_ENDPOINT says which hub."""

    # Folder of a data set, or a hub id that is on this machine.
    dataset: str = ""
    # Where to: NAME/DATASET; made if there is none. Empty: the --dataset.repo_id that it was
    # recorded with.
    repo_id: str = ""
    # Send it. Without this you are only told what would leave the robot.
    yes: bool = False
    # Let everybody see it; otherwise only you and who you let.
    public: bool = False
    # Take episodes that are there and not here out of the newest version.
    replace: bool = False
    # Send also what `armada data check` doesn't find clean; nothing is checked then.
    unclean: bool = False


@dataclass(kw_only=True)
class PullConfig:
    """Fetch a data set from the hub; run it again if it was cut off. HF_ENDPOINT says which hub."""

    # NAME/DATASET.
    repo_id: str = ""
    # The folder to fetch into; empty: where LeRobot looks for it.
    root: str = ""
    # Branch, tag or commit; empty: the version that LeRobot would take.
    revision: str = ""
