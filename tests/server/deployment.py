"""A fleet's processes with TLS and registered keys, on loopback: what robots and operators meet.

The parts are the real ones, started from the specs that the server and the agent use. ``whole`` is
``armada server`` itself; without it, Flower's two processes alone come up, in half the time.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.federation.executor import executor_command
from agent.federation.keys import ensure_key, public_line
from agent.fleet import FleetClient
from agent.paths import StateDir
from agent.supernode import SuperNodeConfig, flower_environment, supernode_command
from agent.supervisor.child import Child, ChildSpec
from server.certs import make_certs
from server.config import BasePolicyRef, ServerBrokerConfig, ServerConfig
from server.flower_control import FlowerControl
from server.nodes import Node, Nodes
from server.processes import ensure_secret, superexec_spec, superlink_spec
from server.registrar import Registrar
from server.tokens import Tokens
from tests.helpers import free_port, wait_until

START_S = 240.0
"""Six processes that import Flower and PyTorch, on a host that may have other work."""


@dataclass
class Robot:
    """One robot's SuperNode and executor."""

    name: str
    state: StateDir
    supernode: Child
    executor: Child

    def log(self, part: str) -> str:
        return (self.state.logs / f"{part}.log").read_text(errors="replace")

    def end(self) -> None:
        for child in (self.supernode, self.executor):
            child.end(grace_s=5.0)


class Deployment:
    """A server on loopback with certificates of its own.

    Args:
        root: Folder for everything.
        policy: The base policy, for the whole server.
    """

    def __init__(self, root: Path, policy: Path | None = None) -> None:
        self.root = root
        certs = make_certs(root / "certs", ["127.0.0.1"])
        self.ca = str(certs.ca)
        self.config = ServerConfig(
            policy=BasePolicyRef(path=str(policy or "")),
            broker=ServerBrokerConfig(port=free_port()),
            state_dir=str(root / "server"),
            port=free_port(),
            superlink_port=free_port(),
            control_port=free_port(),
            tls_cert=str(certs.cert),
            tls_key=str(certs.key),
            tls_ca=self.ca,
        )
        self.config.state.create()
        self.control = FlowerControl(self.config.control_address, certs.ca)
        self.children: dict[str, Child] = {}
        self.robots: list[Robot] = []

    # The server -----------------------------------------------------------------------------

    def start_engine(self) -> None:
        """SuperLink and SuperExec."""
        ensure_secret(self.config.state.secret)
        for spec in (superlink_spec(self.config), superexec_spec(self.config)):
            self.children[spec.name] = Child(spec)
            self.children[spec.name].start()
        wait_until(self.control.reachable, timeout_s=START_S, what="the SuperLink answers")

    def start_server(self) -> None:
        """``armada server``."""
        code = "import sys; from server.commands.server import main; sys.exit(main(sys.argv[1:]))"
        config = self.config
        argv = [
            sys.executable,
            "-c",
            code,
            f"--policy.path={config.policy.path}",
            f"--broker.port={config.broker.port}",
            f"--state_dir={config.state_dir}",
            f"--port={config.port}",
            f"--superlink_port={config.superlink_port}",
            f"--control_port={config.control_port}",
            f"--tls_cert={config.tls_cert}",
            f"--tls_key={config.tls_key}",
            f"--tls_ca={config.tls_ca}",
        ]
        child = Child(ChildSpec(name="server", argv=argv, log=self.root / "server.log"))
        child.start()
        self.children["server"] = child

        def ready() -> bool:
            assert child.poll() is None, child.spec.log.read_text(errors="replace")[-2000:]
            return config.state.ready.exists()

        wait_until(ready, timeout_s=START_S, what="the server is ready")

    def end(self) -> None:
        children = [c for robot in self.robots for c in (robot.supernode, robot.executor)]
        children += self.children.values()
        for child in children:
            child.signal(signal.SIGTERM)
        for child in children:
            child.end(grace_s=2.0)

    # Who belongs to it ----------------------------------------------------------------------

    def operator(self, name: str = "ann") -> FleetClient:
        """A client with an operator's token."""
        token = Tokens(self.config.state.operator_tokens).add(name)
        return FleetClient(self.config.address, self.ca, token=token)

    def register(self, name: str) -> str:
        """A robot's key is made and registered; its token."""
        line = public_line(ensure_key(self.state_of(name).node_key), name)
        Nodes(self.config.state.registered).add(name, line)
        if "server" not in self.children:
            Registrar(self.config.state, self.control).poll()
        wait_until(lambda: name in {n.name for n in self.control.nodes()}, what=name)
        return Tokens(self.config.state.robot_tokens).add(name)

    def state_of(self, name: str) -> StateDir:
        return StateDir(self.root / name)

    def node(self, name: str) -> Node | None:
        """What the SuperLink knows of a robot."""
        return next((n for n in self.control.nodes() if n.name == name), None)

    def start_robot(
        self, name: str, *, dataset: Path | None = None, through: str = "", wait: bool = True
    ) -> Robot:
        """Its SuperNode and its executor, as the agent starts them.

        Args:
            name: Registered before, or a stranger's.
            dataset: Its episodes.
            through: host:port that leads to the SuperLink; empty: directly.
            wait: Until it is online.
        """
        state = self.state_of(name)
        state.create()
        argv, env = supernode_command(
            SuperNodeConfig(
                superlink=through or self.config.superlink_address,
                name=name,
                state_dir=state.root,
                dataset_root=dataset or state.default_dataset,
                root_certificates=self.ca,
                server=self.config.address,
                threads=1,
            )
        )
        supernode = Child(
            ChildSpec(name="supernode", argv=argv, log=state.logs / "supernode.log", env=env)
        )
        executor = Child(
            ChildSpec(
                name="executor",
                argv=executor_command(state.root),
                log=state.logs / "executor.log",
                env=flower_environment(state.root),
            )
        )
        robot = Robot(name, state, supernode, executor)
        self.robots.append(robot)
        supernode.start()
        executor.start()
        if wait:
            wait_until(lambda: self.online(name), timeout_s=START_S, what=f"{name} is online")
        return robot

    def online(self, name: str) -> bool:
        node = self.node(name)
        return node is not None and node.online


@contextlib.contextmanager
def deployed(root: Path, policy: Path | None = None) -> Iterator[Deployment]:
    """``armada server`` where there is a policy; else Flower's two processes alone."""
    deployment = Deployment(root, policy)
    try:
        if policy is None:
            deployment.start_engine()
        else:
            deployment.start_server()
        yield deployment
    finally:
        deployment.end()
        deployment.control.__exit__(None, None, None)
