"""``armada evaluate``: how far a policy's actions are from recorded ones."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

from agent.commands.base import Command
from robots.errors import ConfigError

if TYPE_CHECKING:
    from agent.policy.engines.config import EngineConfig
    from agent.policy.evaluate import EpisodeError
    from robots.replay.info import DatasetInfo


def main(argv: list[str]) -> int:
    """Print a table of the episodes, or JSON."""
    from rich.console import Console

    from agent.commands.models_config import EvaluateConfig
    from agent.commands.parsing import parse

    config = parse(EvaluateConfig, argv, prog="armada evaluate", positional=("dataset",))
    for flag, value in (("--policy.path", config.policy.path), ("--dataset", config.dataset)):
        if not value:
            raise ConfigError("is missing", field=flag, remedy="See `armada evaluate --help`")
    # LeRobot warns at length of video decoders that it doesn't use.
    logging.getLogger().setLevel(logging.ERROR)
    report = evaluate(config)
    console = Console()
    if config.json:
        console.print_json(json.dumps(report, allow_nan=False))
    else:
        for part in tables(report):
            console.print(part, highlight=False)
    return 0


def evaluate(config: Any) -> dict[str, Any]:
    """Measure; what ``--json`` prints.

    Raises:
        ArmadaError: policy and data set can't be read or don't fit.
    """
    from agent.data.open import open_info
    from agent.policy.engines.config import EngineConfig
    from agent.policy.evaluate import deviation
    from agent.policy.load import set_threads

    set_threads(config.threads)
    episodes = chosen_episodes(config.episodes, open_info(config.dataset), unclean=config.unclean)
    results, about = _measure(config, config.inference, config.policy.overrides, episodes)
    report = _report(results) | about | {"policy": config.policy.path, "dataset": config.dataset}
    if config.compare:
        own = [o for o in config.policy.overrides if not o.startswith("num_steps=")]
        exact, about = _measure(config, EngineConfig(engine="torch"), own, episodes)
        report["exact"] = _report(exact) | about
        report["deviation"] = deviation(exact, results)
    return report


def _measure(
    config: Any, inference: EngineConfig, overrides: list[str], episodes: list[int]
) -> tuple[list[EpisodeError], dict[str, Any]]:
    """Errors by episode, and what was measured."""
    from pathlib import Path

    from agent.policy.engines.choice import use_engine
    from agent.policy.evaluate import open_loop_error
    from agent.policy.load import load_policy, read_stats
    from robots.replay.locate import locate

    stats = read_stats(locate(config.policy.stats)) if config.policy.stats else None
    loaded = load_policy(
        config.policy.path,
        device=config.device or None,
        processors=Path(config.processors) if config.processors else None,
        dataset_stats=stats and {config.rename_map.get(k, k): v for k, v in stats.items()},
        overrides=overrides,
    )
    loaded = use_engine(
        loaded, name=inference.engine, precision=inference.precision, threads=config.threads
    )
    results = open_loop_error(
        loaded, config.dataset, episodes, rename_map=config.rename_map, seed=config.seed
    )
    return results, {
        "digest": loaded.digest,
        "device": loaded.device,
        "engine": loaded.engine.name,
        "denoising_steps": getattr(loaded.config, "num_steps", None),
    }


def chosen_episodes(text: str, info: DatasetInfo, *, unclean: bool = False) -> list[int]:
    """The episodes that ``--episodes`` means.

    Raises:
        ConfigError: it can't be read, or means none.
    """
    from agent.data.usable import usable

    if unclean and text != "heldout":
        raise ConfigError(
            "says what counts as held out", field="--unclean", remedy="Add --episodes=heldout"
        )
    if not text:
        return [episode.index for episode in info.episodes]
    if text == "heldout":
        found = usable(info, unclean=unclean)
        episodes = found.split()[1]
        if not episodes:
            why = f"none are held out of fewer than two{found}"
            raise ConfigError(why, field="--episodes", value=text)
        return episodes
    chosen: list[int] = []
    for part in text.strip("[] ").split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise ConfigError(
                "can't be read",
                field="--episodes",
                value=text,
                remedy="Write 0,2,5-7 or heldout",
            )
        chosen += range(int(match[1]), int(match[2] or match[1]) + 1)
    return chosen


def tables(report: dict[str, Any]) -> list[Any]:
    """For a terminal: by episode and by joint."""
    from rich.table import Table

    episodes = Table(
        "episode", "frames", "error", "worst joint", title=f"{report['policy']}, open loop"
    )
    for row in report["episodes"]:
        worst = max(row["share_by_joint"], key=row["share_by_joint"].get)
        episodes.add_row(
            str(row["episode"]), str(row["frames"]), f"{row['error']:.1%} of range", worst
        )
    episodes.add_section()
    episodes.add_row("mean", "", f"{report['error']:.1%} of range", "")
    joints = Table("joint", "mean abs error", title="in the robot's units")
    for joint, error in report["by_joint"].items():
        joints.add_row(joint, f"{error:.2f}")
    parts = [episodes, joints, _caption(report)]
    if "exact" in report:
        parts.append(_price(report))
    return parts


def _price(report: dict[str, Any]) -> Any:
    from rich.table import Table

    price = Table(
        "engine", "denoising steps", "error", "s/chunk", title="beside the policy as it is"
    )
    for row in (report["exact"], report):
        price.add_row(
            row["engine"],
            str(row["denoising_steps"] or "–"),
            f"{row['error']:.2%} of range",
            f"{row['latency_ms_p50'] / 1000:.3f}",
        )
    price.caption = f"their actions differ by {report['deviation']:.3%} of the joints' ranges"
    return price


def _caption(report: dict[str, Any]) -> str:
    return (
        f"{report['chunks']} chunks on {report['device']} by {report['engine']}: "
        f"p50 {report['latency_ms_p50']:.0f} ms, p95 {report['latency_ms_p95']:.0f} ms; "
        f"model {report['digest'][7:19]}"
    )


def _report(results: list[EpisodeError]) -> dict[str, Any]:
    import numpy as np

    latencies = [s for r in results for s in r.latencies_s]
    joints = list(results[0].by_joint)
    return {
        "error": float(np.mean([r.error for r in results])),
        "by_joint": {j: float(np.mean([r.by_joint[j] for r in results])) for j in joints},
        "chunks": len(latencies),
        "latency_ms_p50": 1000 * float(np.quantile(latencies, 0.5)),
        "latency_ms_p95": 1000 * float(np.quantile(latencies, 0.95)),
        "episodes": [
            {
                "episode": r.episode,
                "frames": r.frames,
                "error": r.error,
                "by_joint": r.by_joint,
                "share_by_joint": r.share_by_joint,
            }
            for r in results
        ],
    }


COMMAND = Command("evaluate", "compare a policy's actions with recorded episodes", main, 50)
