"""The configuration of ``armada policy-server``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass, field
from pathlib import Path

from agent.policy.engines.config import EngineConfig
from robots.errors import ConfigError
from server.config import is_loopback

DEFAULT_LISTEN = "127.0.0.1:8470"


@dataclass(kw_only=True)
class ServedPolicyRef:
    """Which policy: a folder or a hub id, as LeRobot's ``--policy.path``."""

    # Folder of a LeRobot `pretrained_model`, or a hub id. A link is followed again when it changes:
    # …/releases/latest/pretrained_model serves the newest release.
    path: str = ""
    # Data set whose statistics normalise state and action, for a policy that brings none.
    stats: str = ""
    # Fields of the policy's own config as `name=value`; `--policy.num_steps=5` lands here.
    overrides: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class PolicyServerConfig:
    """``armada policy-server``: chunks for robots whose host is too small."""

    policy: ServedPolicyRef = field(default_factory=ServedPolicyRef)
    # Address to listen on, host:port; port 0 takes a free one, which is told when it is ready.
    listen: str = DEFAULT_LISTEN
    # Torch device of the policy: cuda, mps or cpu; empty: the policy's own or the best there is.
    device: str = ""
    # Threads of the policy; 0 lets torch decide.
    threads: int = 0
    # What computes: --inference.engine and --inference.precision, as a robot's own.
    inference: EngineConfig = field(default_factory=EngineConfig)
    # Robots that are answered in one pass at most.
    max_batch: int = 8
    # Robots that are served at once; the next one is told to come back later.
    max_robots: int = 64
    # A pass that takes longer than this, in seconds, ends the process with status 70.
    hang_s: float = 120.0
    # Certificate chain and key, PEM files. Needed to listen beyond loopback.
    tls_cert: str = ""
    tls_key: str = ""
    # CA of the robots' certificates, a PEM file: the common name of each is the robot's.
    tls_client_ca: str = ""
    # File of the robots' tokens, from `armada policy-server token add`.
    tokens: str = ""
    # Seconds between two lines of status.
    report_s: float = 30.0
    # Print JSON lines instead of text.
    json: bool = False

    def __post_init__(self) -> None:
        if not self.policy.path:
            raise ConfigError(
                "is missing", field="--policy.path", remedy="Name a LeRobot pretrained_model folder"
            )
        if self.inference.engine == "smolvla-compiled":
            # A new model would be compiled, and its graphs recorded, beside the one that serves.
            raise ConfigError(
                "is for one robot on its own host",
                field="--inference.engine",
                value=self.inference.engine,
                remedy="Use --inference.engine=auto",
            )
        self.host, self.port = split_address("--listen", self.listen)
        for name, low, high in (("max_batch", 1, 1024), ("max_robots", 1, 10_000)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"must be from {low} to {high}", field=f"--{name}", value=getattr(self, name)
                )
        if self.threads < 0:
            raise ConfigError("can't be negative", field="--threads", value=self.threads)
        for name in ("hang_s", "report_s"):
            if not getattr(self, name) > 0:
                raise ConfigError("must be positive", field=f"--{name}", value=getattr(self, name))
        self._check_doors()

    @property
    def tls(self) -> bool:
        return bool(self.tls_cert)

    def _check_doors(self) -> None:
        for name in ("tls_cert", "tls_key", "tls_client_ca", "tokens"):
            path = getattr(self, name)
            if path and not Path(path).is_file():
                raise ConfigError("isn't a file", field=f"--{name}", value=path)
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ConfigError("go together", field="--tls_cert, --tls_key")
        if self.tls_client_ca and not self.tls:
            raise ConfigError(
                "needs TLS",
                field="--tls_client_ca",
                value=self.tls_client_ca,
                remedy="Give --tls_cert and --tls_key",
            )
        if is_loopback(self.host):
            return
        if not self.tls:
            raise ConfigError(
                "plaintext is for loopback only",
                field="--listen",
                value=self.listen,
                remedy="Give --tls_cert and --tls_key",
            )
        if not self.tokens and not self.tls_client_ca:
            raise ConfigError(
                "whoever reaches this address could ask",
                field="--listen",
                value=self.listen,
                remedy="Give --tokens or --tls_client_ca",
            )


def split_address(flag: str, address: str) -> tuple[str, int]:
    """(host, port); the brackets of an IPv6 address are taken off.

    Raises:
        ConfigError: it is no host:port.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError("must be host:port", field=flag, value=address)
    return host.strip("[]"), int(port)
