"""The configuration of ``armada run``: LeRobot's fields where LeRobot has them, ours beside them.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass, field
from pathlib import Path

from lerobot.robots.config import RobotConfig
from lerobot.teleoperators.config import TeleoperatorConfig

from agent.control.episodes import Trigger
from agent.control.handover_config import HandoverConfig
from agent.control.limits import GuardConfig
from agent.control.recorded_config import RecordedConfig
from agent.federation.owner import TrainingConfig
from agent.inference_config import InferenceConfig
from agent.link.broker import BrokerConfig
from agent.paths import StateDir
from agent.recorder.config import RecordConfig
from agent.releases.owner import ReleasesConfig
from agent.releases.signature import configured_keys
from agent.token import check_token, read_token
from robots.errors import ConfigError
from robots.names import check_name


@dataclass(kw_only=True)
class PolicyRef:
    """Which policy: a folder or a hub id, as LeRobot's ``--policy.path``."""

    # Folder of a LeRobot `pretrained_model`, or a hub id such as lerobot/smolvla_base.
    path: str = ""
    # Data set whose statistics normalise state and action, for a policy that brings none.
    stats: str = ""
    # Fields of the policy's own config as `name=value`; `--policy.num_steps=5` lands here.
    overrides: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class FederationConfig:
    """The fleet's server; without a SuperLink the robot learns alone."""

    # Fleet API of the SuperLink, host:port; empty: no federated rounds.
    superlink: str = ""
    # Release service of the server, host:port; empty: releases are not pulled.
    server: str = ""
    # CA certificate for both, a PEM file; empty: plaintext, allowed on loopback only.
    root_certificates: str = ""
    # Whose releases this robot takes: the server's public key, or a file of such keys, one a line;
    # empty: the first that it meets is believed, and kept.
    release_key: str = ""
    # Name of the environment variable that holds this robot's token for the server.
    token_env: str = ""
    # Or the file that holds it.
    token_file: str = ""

    def __post_init__(self) -> None:
        for name in ("superlink", "server"):
            value = getattr(self, name)
            if not value:
                continue
            host, _, port = value.rpartition(":")
            if not host or not port.isdigit():
                raise ConfigError("must be host:port", field=f"--federation.{name}", value=value)
            if not self.root_certificates and host not in ("127.0.0.1", "localhost", "[::1]"):
                raise ConfigError(
                    "plaintext is for loopback only",
                    field=f"--federation.{name}",
                    value=value,
                    remedy="Give --federation.root_certificates=ca.crt",
                )
        if self.root_certificates and not Path(self.root_certificates).is_file():
            raise ConfigError(
                "isn't a file",
                field="--federation.root_certificates",
                value=self.root_certificates,
            )
        configured_keys(self.release_key)
        check_token(self.token_env, self.token_file, prefix="--federation.")

    def token(self) -> str:
        """This robot's, for the server; empty without one.

        Raises:
            ConfigError: the file can't be read.
        """
        return read_token(self.token_env, self.token_file, prefix="--federation.")


@dataclass(kw_only=True)
class RunConfig:
    """``armada run``: an arm, what drives it, what is recorded, and which fleet it belongs to."""

    # The arm, as in lerobot-rollout: --robot.type=so101_follower --robot.port=… --robot.cameras=…
    robot: RobotConfig
    # A leader arm or another LeRobot teleoperator: demonstrates, or corrects the policy.
    teleop: TeleoperatorConfig | None = None
    # Or a recording's actions: what `armada replay DATASET --robot.type=…` sends.
    recorded: RecordedConfig = field(default_factory=RecordedConfig)
    # What drives first: recorded, teleop or policy; empty: the first of these that there is.
    source: str = ""
    # How the arm changes hands between policy and teleoperator.
    handover: HandoverConfig = field(default_factory=HandoverConfig)
    # What drives otherwise: --policy.path=lerobot/smolvla_base
    policy: PolicyRef = field(default_factory=PolicyRef)
    # What is recorded; without --dataset.num_episodes nothing is until the operator asks.
    dataset: RecordConfig = field(default_factory=RecordConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    federation: FederationConfig = field(default_factory=FederationConfig)
    # When this robot trains for its fleet, and on what condition.
    training: TrainingConfig = field(default_factory=TrainingConfig)
    # What a release must show before and after it drives this robot.
    releases: ReleasesConfig = field(default_factory=ReleasesConfig)
    # Control rate in Hz.
    fps: int = 30
    # Seconds to run; 0: until stopped.
    duration: float = 0.0
    # The task in words, as the policy is told it.
    task: str = ""
    # Torch device of the policy: cuda, mps or cpu; empty: the policy's own or the best there is.
    device: str = ""
    # Robot keys to policy keys: {"observation.images.front": "observation.images.camera1"}
    rename_map: dict[str, str] = field(default_factory=dict)
    # Move back to the pose at start before letting go, as lerobot-rollout does.
    return_to_initial_position: bool = True
    # Name of this robot in its fleet; empty: --robot.id.
    name: str = ""
    fleet: str = "default"
    # Where models, episodes and logs are kept; empty: the user's state folder.
    state_dir: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= 200:
            raise ConfigError("must be from 1 to 200 Hz", field="--fps", value=self.fps)
        if self.duration < 0:
            raise ConfigError("can't be negative", field="--duration", value=self.duration)
        check_name("--name", self.robot_name)
        check_name("--fleet", self.fleet)
        if self.teleop is None and not self.has_policy and not self.recorded.dataset:
            raise ConfigError(
                "nothing drives the arm",
                field="--policy.path",
                remedy="Give --policy.path=…, --inference.server=…, --teleop.type=…",
            )
        self._check_source()
        if self.inference.fallback and not self.policy.path:
            raise ConfigError(
                "there is no policy to fall back on",
                field="--inference.fallback",
                value=True,
                remedy="Give --policy.path=…",
            )
        self._check_local()
        self.task = self.task or self.dataset.single_task
        if self.has_policy and not self.task:
            raise ConfigError(
                "the policy needs the task in words",
                field="--task",
                remedy='Give --task="Pick up the cube"',
            )

    def _check_local(self) -> None:
        """Refuse what only a policy on this host needs when there is none."""
        names = ("path", "stats", "overrides")
        self.inference.check_no_server(self.policy, names, prefix="--policy.")
        self.inference.check_no_server(self, ("device",), prefix="--")

    def _check_source(self) -> None:
        there = self._there
        if self.source and not there.get(self.source):
            raise ConfigError(
                "this agent has no such source",
                field="--source",
                value=self.source,
                remedy="One of: " + ", ".join(name for name, is_there in there.items() if is_there),
            )
        corrects = Trigger(self.dataset.trigger) is Trigger.CORRECTION
        if corrects and not (there["teleop"] and there["policy"]):
            raise ConfigError(
                "needs a policy, and a teleoperator to correct it with",
                field="--dataset.trigger",
                value=self.dataset.trigger,
                remedy="Give --policy.path=… and --teleop.type=…",
            )

    @property
    def _there(self) -> dict[str, bool]:
        """What can drive, by name."""
        return {
            "recorded": bool(self.recorded.dataset),
            "teleop": self.teleop is not None,
            "policy": self.has_policy,
        }

    @property
    def first_source(self) -> str:
        """What drives first; a policy that is to be corrected goes before its teleoperator."""
        if not self.source and Trigger(self.dataset.trigger) is Trigger.CORRECTION:
            return "policy"
        return self.source or next(name for name, is_there in self._there.items() if is_there)

    @property
    def has_policy(self) -> bool:
        """Whether a policy can drive, wherever it runs."""
        return bool(self.policy.path or self.inference.server)

    @property
    def has_local_policy(self) -> bool:
        """Whether one runs on this host: with a policy server only as a fallback."""
        return bool(self.policy.path) and (not self.inference.server or self.inference.fallback)

    @property
    def robot_name(self) -> str:
        return self.name or self.robot.id or "robot"

    @property
    def state(self) -> StateDir:
        return (
            StateDir(Path(self.state_dir)) if self.state_dir else StateDir.default(self.robot_name)
        )

    @property
    def stop_file(self) -> Path:
        return Path(self.guard.stop_file) if self.guard.stop_file else self.state.stop_file

    @property
    def dataset_root(self) -> Path:
        root = self.dataset.root
        # A shell expands no ~ in the middle of a word, and a file's values not at all.
        return Path(root).expanduser() if root else self.state.default_dataset


@dataclass(kw_only=True)
class DoctorConfig:
    """``armada doctor``: what to look at; the flags of ``armada run``."""

    # The arm; without one only the host is checked.
    robot: RobotConfig | None = None
    policy: PolicyRef = field(default_factory=PolicyRef)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    federation: FederationConfig = field(default_factory=FederationConfig)
    # Control rate in Hz.
    fps: int = 30
    rename_map: dict[str, str] = field(default_factory=dict)
    # A recording whose joints are looked at: a folder, or a hub id that is on this machine. The
    # agent's own data set is looked at as well.
    dataset: str = ""
    # Name of this robot in its fleet; empty: --robot.id.
    name: str = ""
    fleet: str = "default"
    # Where models, episodes and logs are kept; empty: the user's state folder.
    state_dir: str = ""
    # Print JSON instead of a table.
    json: bool = False

    @property
    def robot_name(self) -> str:
        return self.name or (self.robot.id if self.robot else None) or "robot"

    @property
    def state(self) -> StateDir:
        return (
            StateDir(Path(self.state_dir)) if self.state_dir else StateDir.default(self.robot_name)
        )
