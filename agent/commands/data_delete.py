"""``armada data delete``: what spoils a data set goes, where it lies."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from robots.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.console import Console

    from agent.commands.data_config import DeleteConfig
    from agent.data.check.gate import EpisodeReport

_USAGE = "armada data delete FOLDER --episodes=3,7 or --rejected=true"


def delete_from_dataset(argv: list[str]) -> int:
    """Delete episodes, marks included; without --yes=true it only says which."""
    from rich.console import Console

    from agent.commands.data_config import DeleteConfig
    from agent.commands.parsing import parse

    config = parse(DeleteConfig, argv, prog="armada data delete", positional=("dataset",))
    if not config.dataset:
        raise ConfigError("is missing", field="dataset", remedy=_USAGE)
    if bool(config.episodes) is config.rejected:
        raise ConfigError("give one of both", field="--episodes, --rejected", remedy=_USAGE)
    console = Console(soft_wrap=True, highlight=False)
    # A folder alone: what a hub's cache holds isn't ours to change.
    root = Path(config.dataset).expanduser().resolve()
    if not root.is_dir():
        raise ConfigError("isn't a folder", field="dataset", value=config.dataset, remedy=_USAGE)
    _check_owner(root)
    try:
        return _delete(config, root, console)
    except OSError as error:
        raise DataError(f"can't be changed: {error}", field="dataset", value=root) from error


def _check_owner(root: Path) -> None:
    """What is deleted from is written anew, and would be of whoever does it: its recorder could
    write to it no more."""
    if (owner := root.stat().st_uid) != os.geteuid():
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"#{owner}"
        raise DataError(
            f"belongs to {name}",
            field="dataset",
            value=root,
            remedy=f"Run it as its owner: sudo -u {name} …",
        )


def _delete(config: DeleteConfig, root: Path, console: Console) -> int:
    from agent.data.delete import delete_episodes
    from agent.data.lock import recording
    from agent.recorder.staging import Staging
    from robots.replay.info import read_claims

    # Nobody records meanwhile: numbers stay what they are until it is done.
    with recording(root):
        # A save that was cut off counts on as many episodes as there were.
        Staging(root).recover()
        doomed = _doomed(config, root)
        if not doomed:
            console.print(f"{root}: no episode is REJECTED, nothing to delete", markup=False)
            return 0
        info, _ = read_claims(root)
        for index, why in doomed.items():
            episode = info.episode(index)
            said = f"episode {index}: {episode.length:,} frames of {'; '.join(episode.tasks)}"
            console.print(f"  {said}{' — ' if why else ''}{why}", markup=False)
        console.print(f"{root}: {len(doomed)} of {len(info.episodes)} episodes", markup=False)
        if not config.yes:
            console.print("Nothing was deleted. To delete them for good: the same with --yes=true")
            return 1
        delete_episodes(root, list(doomed))
    console.print("They are deleted; the others are numbered anew, in the same order")
    return 0


def _doomed(config: DeleteConfig, root: Path) -> dict[int, str]:
    """Episode → why."""
    from agent.data.federated.numbers import read_numbers

    if config.rejected:
        return _rejected(root)
    try:
        return dict.fromkeys(read_numbers(config.episodes), "")
    except ValueError as error:
        raise ConfigError(
            str(error), field="--episodes", value=config.episodes, remedy="Like 3,7 or 0-4"
        ) from error


def _rejected(root: Path) -> dict[int, str]:
    from rich.console import Console
    from rich.progress import Progress

    from agent.data.check.finding import Verdict, Weight
    from agent.data.check.gate import check_dataset

    def why(report: EpisodeReport) -> str:
        return "; ".join(str(f) for f in report.findings if f.weight is Weight.BAD)

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("episodes are checked", total=None)
        reports = check_dataset(root, told=lambda _: progress.advance(task)).episodes
    return {e.index: why(e) for e in reports if e.verdict is Verdict.REJECTED}
