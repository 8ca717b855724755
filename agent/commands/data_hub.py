"""``armada data push`` and ``pull``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from robots.errors import ConfigError, DataError

if TYPE_CHECKING:
    from agent.data.hub.leaving import Leaving


def push_dataset(argv: list[str]) -> int:
    """Send a data set to the hub; without --yes=true it only says what would leave the robot."""
    from huggingface_hub import constants
    from rich.console import Console

    from agent.commands.data_config import PushConfig
    from agent.commands.parsing import parse
    from agent.data.hub.leaving import leaving
    from agent.data.hub.name import kept_name
    from agent.data.hub.push import push
    from agent.data.used import note_pushed
    from robots.replay.locate import locate

    config = parse(PushConfig, argv, prog="armada data push", positional=("dataset",))
    repo_id = config.repo_id or kept_name(Path(config.dataset).expanduser())
    for flag, value in (("dataset", config.dataset), ("--repo_id", repo_id)):
        if not value:
            raise ConfigError(
                "is missing", field=flag, remedy="armada data push FOLDER --repo_id=NAME/DATASET"
            )
    # Each request is logged otherwise.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    console = Console(soft_wrap=True, highlight=False)
    root = locate(config.dataset)
    with leaving(root) as what:
        if not config.unclean:
            _refuse_unclean(what, root)
        who = "everybody" if config.public else "you and who you let"
        console.print(
            f"{root}\n"
            f"  to       {constants.ENDPOINT}/datasets/{repo_id}, to be seen by {who}\n"
            f"  episodes {len(what.info.episodes):,} with {what.info.frames:,} frames\n"
            f"  pictures {what.pictures:,} of {', '.join(what.info.cameras) or 'no camera'}\n"
            f"  tasks    {'; '.join(sorted({t for e in what.info.episodes for t in e.tasks}))}\n"
            f"  bytes    {what.size:,} in {what.files:,} files, less what is there already",
            markup=False,
        )
        if not config.yes:
            console.print("Nothing was sent. To send it: the same with --yes=true")
            return 1
        address = push(what, repo_id, public=config.public, replace=config.replace)
        note_pushed(root, what.digests, repo_id)
    console.print(f"It is at {address}", markup=False)
    return 0


def pull_dataset(argv: list[str]) -> int:
    """Fetch a data set from the hub, or what is new of it."""
    from rich.console import Console

    from agent.commands.data_config import PullConfig
    from agent.commands.parsing import parse
    from agent.data.hub.pull import default_root, pull

    config = parse(PullConfig, argv, prog="armada data pull", positional=("repo_id",))
    if not config.repo_id:
        raise ConfigError("is missing", field="repo_id", remedy="armada data pull NAME/DATASET")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    root = Path(config.root).expanduser() if config.root else default_root(config.repo_id)
    info = pull(config.repo_id, root, revision=config.revision)
    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"{root}: {len(info.episodes):,} episodes with {info.frames:,} frames. "
        f"Whether they are good: armada data check {root}",
        markup=False,
    )
    return 0


def _refuse_unclean(what: Leaving, root: Path) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from agent.data.check.finding import Verdict
    from agent.data.check.gate import check_dataset

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("episodes are checked", total=len(what.info.episodes))
        report = check_dataset(what.folder, told=lambda _: progress.advance(task))
    if report.verdict is Verdict.CLEAN:
        return
    unclean = [e.index for e in report.episodes if e.verdict is not Verdict.CLEAN]
    which = f"episodes {', '.join(map(str, unclean[:10]))}" if unclean else "the data set"
    raise DataError(
        f"{which}{' and more' if len(unclean) > 10 else ''}: {report.verdict}",
        field="dataset",
        value=root,
        remedy=f"See why: armada data check {root}; mend it with --repair, delete what is "
        f"rejected (armada data delete {root} --rejected=true), or say --unclean=true",
    )
