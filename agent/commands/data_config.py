"""Flags of ``armada data …``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass


@dataclass(kw_only=True)
class CheckConfig:
    """Judge a LeRobot data set episode by episode: CLEAN, REPAIRED (once it is) or REJECTED."""

    # Folder of a data set, or a hub id that is on this machine.
    dataset: str = ""
    # Write a mended copy to this folder; nothing is changed in place.
    repair: str = ""
    # Draw what was doubtful into this folder, a picture an episode.
    pictures: str = ""
    # Print JSON instead of a table.
    json: bool = False
