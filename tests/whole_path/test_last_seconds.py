"""What was seen last becomes an episode, by an operator's word to a running agent."""

from __future__ import annotations

import os
from pathlib import Path

from lerobot.datasets.lerobot_dataset import LeRobotDataset

from benchmarks.rig import Power
from tests.helpers import wait_until
from tests.whole_path.rig import running

KEPT_S = 2.0
FPS = 30


def test_the_last_seconds_are_kept_between_episodes(tmp_path: Path) -> None:
    flags = (f"--fps={FPS}", f"--dataset.pre_trigger_s={KEPT_S:g}", "--dataset.trigger=operator")
    with Power(f"last{os.getpid()}") as power, running(power, tmp_path, *flags) as rig:
        status = wait_until(lambda: rig.back(0), timeout_s=120, what="control is up")
        assert status is not None
        wait_until(
            lambda: rig.status()["driven_ticks"] > 2 * KEPT_S * FPS, timeout_s=60, what="some ticks"
        )
        assert rig.status()["frames"] == 0
        rig.cli("record", "save_last")
        saved = wait_until(lambda: rig.events("episode_saved"), timeout_s=60, what="it is saved")
        assert saved[0]["data"]["marks"]["trigger"] == "save_last"
        dataset = LeRobotDataset("local/x", root=rig.state.default_dataset)

    # The arm may have held for some of them, and what it was sent then is no frame.
    assert 0.5 * KEPT_S * FPS <= len(dataset) <= KEPT_S * FPS + 1
    assert len({tuple(row["action"].tolist()) for row in dataset.hf_dataset}) > 1
