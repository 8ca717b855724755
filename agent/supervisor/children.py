"""The command lines of an agent's processes."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from pathlib import Path

from agent.config import RunConfig
from agent.policy.remote.config import RemoteConfig
from agent.policy.store import StoredModel
from agent.supervisor.child import ChildSpec
from agent.supervisor.latch import STOPPED
from robots.replay.locate import locate

REMOTE_GENERATION = 0
"""Local workers are counted from 1."""

POLICY_NICE = 5
"""Below the control loop, above training."""

RECORDER_NICE = 3
"""Below the control loop, above the policy, which takes all that it gets: two cameras of 640×480
need a fifth of two cores, and pictures that wait for longer than seconds are lost."""

TRAINER_NICE = 5
"""The processes that it starts add ten."""

_EARLIER = 0.9
"""Of a request's deadline: the remote worker says that it is over before control gives it up."""


class Children:
    """Makes the specs of the processes of one agent.

    Args:
        config: Its configuration.
        locks: Descriptors that control inherits.
    """

    def __init__(self, config: RunConfig, locks: tuple[int, ...]) -> None:
        self._config = config
        self._state = config.state
        self._locks = locks

    def control(self, stopped: str | None = None, episodes: int | None = None) -> ChildSpec:
        """``stopped``: a stop that could not be written to the state folder; ``episodes``: how many
        are left to record, for one that isn't the first."""
        argv = self._module("agent.control", f"--config_path={self._state.config}")
        if episodes is not None:
            argv.append(f"--dataset.num_episodes={episodes}")
        env = {} if stopped is None else {STOPPED: stopped}
        spec = self._spec("control", argv, env=env, keep=self._locks)
        return dataclasses.replace(spec, hears_stops=True)

    def let_go(self) -> ChildSpec:
        """Takes torque away when control can't any more."""
        argv = self._module("agent.control.let_go", f"--config_path={self._state.config}")
        return self._spec("let-go", argv, keep=self._locks)

    def recorder(self) -> ChildSpec:
        argv = self._module(
            "agent.recorder",
            f"--socket={self._state.control_socket}",
            f"--root={self._config.dataset_root}",
            f"--config={json.dumps(self._config.dataset.to_json())}",
        )
        # A local folder is never looked up on a hub.
        return self._spec("recorder", argv, env={"HF_HUB_OFFLINE": "1"}, nice=RECORDER_NICE)

    def policy(self, model: StoredModel, generation: int, *, trial: bool = False) -> ChildSpec:
        """``trial``: its model is on probation; control keeps the worker before it."""
        config = self._config
        argv = self._module(
            "agent.policy.worker",
            f"--socket={self._state.control_socket}",
            f"--policy={model.path}",
            f"--generation={generation}",
            f"--threads={config.inference.threads}",
            f"--engine={config.inference.engine}",
            f"--precision={config.inference.precision}",
            f"--rename_map={json.dumps(config.rename_map)}",
            f"--overrides={json.dumps(config.policy.overrides)}",
        )
        argv += self._guidance()
        if trial:
            argv.append("--trial")
        if config.device:
            argv.append(f"--device={config.device}")
        if config.policy.stats:
            argv.append(f"--stats={locate(config.policy.stats)}")
        if self._state.processors.is_dir():
            argv.append(f"--processors={self._state.processors}")
        # Where torch multiplies by OpenBLAS, as on ARM, the one thread that the supervisor allows
        # that library would be the policy's as well.
        forks = platform.machine() in ("x86_64", "AMD64")
        return self._spec(f"policy-{generation}", argv, nice=POLICY_NICE, forks=forks)

    def remote(self) -> ChildSpec | None:
        """The worker that asks a policy server, when there is one."""
        config = self._config
        if not config.inference.server:
            return None
        remote = {
            f.name: getattr(config.inference, f.name) for f in dataclasses.fields(RemoteConfig)
        }
        argv = self._module(
            "agent.policy.remote.worker",
            f"--socket={self._state.control_socket}",
            f"--generation={REMOTE_GENERATION}",
            f"--remote={json.dumps(remote)}",
            f"--rename_map={json.dumps(config.rename_map)}",
            f"--deadline_s={config.inference.deadline_s * _EARLIER}",
            *self._guidance(),
        )
        return self._spec("remote", argv, nice=POLICY_NICE)

    def link(self) -> ChildSpec | None:
        """The MQTT link, when there is a broker."""
        config = self._config
        if not config.broker.host:
            return None
        settings = {
            "robot": config.robot_name,
            "fleet": config.fleet,
            "host": config.broker.host,
            "port": config.broker.port,
            "username": config.broker.username,
            "password_env": config.broker.password_env,
            "tls_ca": config.broker.tls_ca,
            "control_socket": str(self._state.control_socket),
            "state_dir": str(self._state.root),
            "dataset_root": str(config.dataset_root),
            "unclean": config.training.unclean,
            "server": config.federation.server,
            "root_certificates": config.federation.root_certificates,
        }
        argv = self._module("agent.link", f"--config={json.dumps(settings)}")
        return self._spec("link", argv, nice=5)

    def supernode(self) -> ChildSpec | None:
        """Flower's SuperNode, when there is a SuperLink."""
        if not self._config.federation.superlink:
            return None
        from agent.supernode import SuperNodeConfig, supernode_command

        argv, env = supernode_command(
            SuperNodeConfig(
                superlink=self._config.federation.superlink,
                name=self._config.robot_name,
                state_dir=self._state.root,
                dataset_root=self._config.dataset_root,
                root_certificates=self._config.federation.root_certificates,
                server=self._config.federation.server,
            )
        )
        return self._spec("supernode", argv, env=env, forks=False)

    def executor(self) -> ChildSpec | None:
        """Answers the SuperNode's tasks with the ClientApp that is installed here."""
        if not self._config.federation.superlink:
            return None
        from agent.federation.executor import executor_command
        from agent.supernode import flower_environment

        root = self._state.root
        argv, env = executor_command(root), flower_environment(root)
        return self._spec("executor", argv, env=env, forks=False)

    def trainer(self) -> ChildSpec | None:
        """Does what the fleet's server ordered, each job in a process of its own."""
        if not self._config.federation.superlink:
            return None
        argv = self._module(
            "agent.federation.trainer",
            f"--state_dir={self._state.root.resolve()}",
            f"--name={self._config.robot_name}",
            f"--dataset_root={self._config.dataset_root.resolve()}",
        )
        return self._spec("trainer", argv, nice=TRAINER_NICE)

    def _guidance(self) -> list[str]:
        inference = self._config.inference
        if not inference.continues:
            return []
        return [
            f"--guidance={inference.guidance}",
            f"--max_guidance_weight={inference.max_guidance_weight}",
        ]

    def _module(self, name: str, *args: str) -> list[str]:
        return [sys.executable, "-m", name, *args]

    def _spec(
        self,
        name: str,
        argv: list[str],
        *,
        env: dict[str, str] | None = None,
        keep: tuple[int, ...] = (),
        nice: int = 0,
        forks: bool = True,
    ) -> ChildSpec:
        log = Path(self._state.logs) / f"{name.split('-')[0]}.log"
        return ChildSpec(
            name=name, argv=argv, log=log, env=env or {}, keep=keep, nice=nice, forks=forks
        )
