"""FedAvg, FedProx, FedAdam and no federation, on the same shares of a real data set.

    python -m benchmarks.federation.strategies --data=../shared/data/so101_cloth_wrist

Four simulated clients divide the data set's episodes; the last tenth of each share, one episode at
least, is held out and never trained on. All start from the same tiny SmolVLA and train as many
steps. *Local only* trains each client alone, going on from its own weights each round, by the same
training code, in this process. Held-out error: mean open-loop error of a client's held-out
episodes in parts of each joint's range, averaged over episodes.

What it says is about this tiny policy, these few steps and this data set, and about nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.data.federated.catalogue import Catalogue, DataEntry
from agent.data.federated.catalogue_file import write_catalogue
from agent.data.federated.partitioner import LeRobotDatasetPartitioner
from agent.data.open import open_info
from agent.data.split import split
from agent.federation.simulation.config import ShortTrainConfig, SimulationConfig
from agent.federation.simulation.setting import Setting
from agent.training.train import train
from server.simulation.prepare import prepare
from server.simulation.run import Resources, simulate

LOCAL = "local only"


def divide(dataset: Path, clients: int, episodes: int, out: Path) -> Path:
    """A catalogue of so many clients who share the first episodes of a data set."""
    info = open_info(dataset)
    chosen = info.episodes[:episodes]
    parts = LeRobotDatasetPartitioner.by_episode(clients).divide(chosen)
    entries = []
    for i, numbers in enumerate(parts):
        train_on, held = ([numbers[k] for k in half] for half in split(len(numbers)))
        entries.append(
            DataEntry(
                name=f"client-{i + 1}",
                dataset=str(dataset.resolve()),
                episodes=len(info.episodes),
                frames=info.frames,
                train=tuple(train_on),
                evaluation=tuple(held),
            )
        )
    write_catalogue(Catalogue(clients=tuple(entries)), out)
    return out


def local_only(config: SimulationConfig, clients: int) -> list[dict[str, float]]:
    """Each client by itself: round by round, the means as of a simulation's report."""
    setting = Setting(config, Path(config.output))
    prepare(setting)
    rounds: list[dict[str, float]] = [{} for _ in range(config.num_server_rounds + 1)]
    sums = [[0.0, 0.0, 0.0] for _ in rounds]
    for number in range(clients):
        home = setting.home({"partition-id": number, "num-partitions": clients})
        weights = None
        for i in range(1, len(rounds)):
            result = train(
                policy_path=home.base,
                processors=home.state.processors,
                dataset_root=home.dataset_root,
                config=dataclasses.replace(config.train, seed=config.train.seed + i - 1),
                received=weights,
                share=home.share,
            )
            weights = result.trainable
            if result.error_before is None or result.error_after is None:
                raise SystemExit(f"{home.name} has no held-out episodes")
            if i == 1:
                sums[0][0] += result.error_before * result.heldout_episodes
                sums[0][2] += result.heldout_episodes
            sums[i][0] += result.error_after * result.heldout_episodes
            sums[i][2] += result.heldout_episodes
            sums[i][1] += result.loss_last * result.samples
            rounds[i]["samples"] = rounds[i].get("samples", 0) + result.samples
    for entry, (error, loss, episodes) in zip(rounds, sums, strict=True):
        entry["held_out_error"] = error / episodes
        if "samples" in entry:
            entry["loss_last"] = loss / entry["samples"]
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a LeRobot data set")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--episodes", type=int, default=12, help="the first so many")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--mu", type=float, default=0.1, help="FedProx's")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = divide(args.data, args.clients, args.episodes, Path(folder) / "datasets.yaml")
        results: dict[str, list[dict[str, Any]]] = {}
        for name in ("fedavg", "fedprox", "fedadam", LOCAL):
            config = SimulationConfig(
                num_server_rounds=args.rounds,
                strategy="fedavg" if name == LOCAL else name,
                data=str(data),
                output=str(Path(folder) / name.replace(" ", "-")),
                train=ShortTrainConfig(
                    steps=args.steps, proximal_mu=args.mu if name == "fedprox" else 0.0
                ),
            )
            if name == LOCAL:
                results[name] = local_only(config, args.clients)
            else:
                report = simulate(config, Resources(clients=args.clients))
                results[name] = report["rounds"]
    show(args, results)


def show(args: argparse.Namespace, results: dict[str, list[dict[str, Any]]]) -> None:
    """A row for each round."""
    table = Table(
        "round",
        *(f"{name}: {what}" for name in results for what in ("loss", "error")),
        title=f"{args.clients} clients, {args.episodes} episodes of {args.data.name}, "
        f"{args.steps} steps a round",
    )
    for i in range(args.rounds + 1):
        cells = []
        for rounds in results.values():
            for what in ("loss_last", "held_out_error"):
                cells.append(f"{rounds[i][what]:.4f}" if what in rounds[i] else "–")
        table.add_row(str(i), *cells)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
