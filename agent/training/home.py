"""Where a robot's ClientApp finds what is its own: policy, episodes, settings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from agent.federation.owner import TrainingConfig
from agent.paths import StateDir
from agent.releases.owner import ReleasesConfig
from agent.token import read_token
from robots.errors import ModelError

if TYPE_CHECKING:
    from agent.policy.store import StoredModel
    from agent.training.episodes import Episodes


@dataclass(frozen=True, kw_only=True)
class Home:
    """One robot's state folder and what its owner set.

    Args:
        name: The robot's name in its fleet.
        state: Its state folder.
        dataset_root: Its episodes.
        threads: Threads of torch; 0: as they are.
        rename_map: Robot keys to policy keys.
        device: Torch device; None: the policy's own or the best there is.
        server: host:port of the fleet's gRPC service; empty: none is known.
        root_certificates: CA of the server's certificate; empty: plaintext.
        token_env, token_file: Where the robot's token for the server is.
        release_key: Whose releases the robot takes: a key, or a file of keys; empty: of whom it
            took the first.
        training: What the owner allows.
        releases: What the owner asks of a release.
        share: Which episodes, of a data set that simulated clients share; None: the robot's own
            data set, all of it.
    """

    name: str
    state: StateDir
    dataset_root: Path
    threads: int
    rename_map: dict[str, str] = field(default_factory=dict)
    device: str | None = None
    server: str = ""
    root_certificates: str = ""
    token_env: str = ""
    token_file: str = ""
    release_key: str = ""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    releases: ReleasesConfig = field(default_factory=ReleasesConfig)
    share: Episodes | None = None

    @classmethod
    def of(cls, node_config: Mapping[str, Any]) -> Home:
        """From the node configuration that ``agent.supernode`` wrote, and the agent's own
        configuration where there is one.

        Raises:
            ConfigError: what the owner set there can't be used.
        """
        state = StateDir(Path(str(node_config["state-dir"])))
        own: dict[str, Any] = {}
        if state.config.is_file():
            own = yaml.safe_load(state.config.read_text(encoding="utf-8")) or {}
        federation = own.get("federation") or {}
        return cls(
            name=str(node_config["name"]),
            state=state,
            dataset_root=Path(str(node_config["dataset-root"])),
            threads=int(node_config.get("threads", 0)) or max(1, (os.cpu_count() or 2) // 2),
            rename_map=own.get("rename_map") or {},
            device=own.get("device") or None,
            server=federation.get("server") or "",
            root_certificates=federation.get("root_certificates") or "",
            token_env=federation.get("token_env") or "",
            token_file=federation.get("token_file") or "",
            release_key=federation.get("release_key") or "",
            training=TrainingConfig.of(own.get("training") or {}),
            releases=ReleasesConfig.of(own.get("releases") or {}),
        )

    def token(self) -> str:
        """The robot's, for the server; empty without one.

        Raises:
            ConfigError: the file can't be read.
        """
        return read_token(self.token_env, self.token_file, prefix="--federation.")

    def policy(self, base_digest: str) -> StoredModel:
        """The robot's current model, whose frozen part is the one that the server means.

        Raises:
            ModelError: there is none, or it has another base.
        """
        from agent.policy.store import ModelStore

        model = ModelStore(self.state.models).current
        if model is None:
            raise ModelError("the robot has no policy yet")
        if model.base_digest != base_digest:
            raise ModelError(
                f"the robot's base policy is {model.base_digest[:19]}…, "
                f"the server's is {base_digest[:19]}…",
                remedy="Start both from the same --policy.path",
            )
        return model

    def policy_folder(self, base_digest: str) -> Path:
        """Where :meth:`policy` lies.

        Raises:
            ModelError: as there.
        """
        return self.policy(base_digest).path

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a record into ``training/``; a reader sees the old or the new one."""
        self.state.training.mkdir(parents=True, exist_ok=True)
        path = self.state.training / name
        partial = path.with_name(f".{name}-{os.getpid()}")
        partial.write_text(json.dumps(values, indent=1, allow_nan=False), encoding="utf-8")
        partial.replace(path)
