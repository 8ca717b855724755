"""Flower's strategies by name, as they are: nothing of ours is between them and the clients."""

from __future__ import annotations

from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    Strategy,
)

from agent.federation.simulation.config import SimulationConfig
from robots.errors import ConfigError

_ADAPTIVE_LR = 1e-3
"""Flower's 0.1 moves each weight by up to 0.1 a round, which no pretrained policy survives."""


def build_strategy(config: SimulationConfig, clients: int) -> Strategy:
    """The strategy of a simulation.

    Args:
        config: Names it and its settings.
        clients: How many there are.

    Raises:
        ConfigError: it can't work with so few clients.
    """
    sampled = max(int(clients * config.fraction_train), min(2, clients))
    common = {
        "fraction_train": config.fraction_train,
        "min_train_nodes": min(2, clients),
        "min_evaluate_nodes": min(2, clients),
        "min_available_nodes": clients,
    }
    lr = config.server_lr
    adaptive = {"eta": lr or _ADAPTIVE_LR, "tau": config.server_tau}
    strategy: Strategy
    match config.strategy:
        case "fedavg":
            strategy = FedAvg(**common)
        case "fedprox":
            strategy = FedProx(**common, proximal_mu=config.train.proximal_mu)
        case "fedavgm":
            strategy = FedAvgM(
                **common,
                server_learning_rate=lr or 1.0,
                server_momentum=config.server_momentum,
            )
        case "fedadam":
            strategy = FedAdam(**common, **adaptive)
        case "fedyogi":
            strategy = FedYogi(**common, **adaptive)
        case "fedadagrad":
            strategy = FedAdagrad(**common, **adaptive)
        case "fedmedian":
            strategy = FedMedian(**common)
        case "fedtrimmedavg":
            strategy = FedTrimmedAvg(**common, beta=config.trim)
        case "krum":
            _needs(config, sampled, 2 * config.malicious + 3)
            strategy = Krum(**common, num_malicious_nodes=config.malicious)
        case other:
            raise ConfigError("isn't known", field="strategy", value=other)
    if config.dp == "fixed":
        strategy = DifferentialPrivacyServerSideFixedClipping(
            strategy, config.dp_noise, config.dp_clip, sampled
        )
    elif config.dp == "adaptive":
        _noise_fits(config, sampled)
        strategy = DifferentialPrivacyServerSideAdaptiveClipping(
            strategy, config.dp_noise, sampled, initial_clipping_norm=config.dp_clip
        )
    return strategy


def _needs(config: SimulationConfig, sampled: int, needed: int) -> None:
    if sampled < needed:
        raise ConfigError(
            f"{config.malicious} hostile clients need {needed} that train, there are {sampled}",
            field="malicious",
            value=config.malicious,
        )


def _noise_fits(config: SimulationConfig, sampled: int) -> None:
    """Adaptive clipping spends part of the noise on counting who was clipped (Andrew et al.,
    arXiv:1905.03871): more noise than this leaves none of it for that."""
    limit = sampled / 10
    if config.dp_noise >= limit:
        raise ConfigError(
            f"must be below {limit:g} for {sampled} clients with adaptive clipping",
            field="dp_noise",
            value=config.dp_noise,
            remedy="Take dp=fixed, or more clients",
        )
