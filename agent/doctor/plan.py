"""Which checks a configuration asks for, and in what order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from lerobot.robots import Robot

from agent.config import DoctorConfig
from agent.control.build import make_robot
from agent.doctor import cameras, fleet, host, port, servos, travel
from agent.doctor.check import Check, Finding, Verdict
from agent.doctor.policy_server import policy_server
from agent.ipc import FrameLayout
from agent.policy.engines.choice import check_possible
from agent.policy.load import check_fit, read_config
from robots.arm.parts import followers
from robots.arm.ranges import joint_ranges
from robots.errors import ArmadaError
from robots.replay import ReplayRobot
from robots.sim import SO101Sim

_FPS = 30


def plan(config: DoctorConfig, stack: ExitStack) -> dict[str, Check]:
    """The checks, by part.

    Args:
        config: What to look at.
        stack: Holds ports and what is switched on until all checks are over.
    """
    checks: dict[str, Check] = {"packages": host.packages}
    robot: Robot | None = None
    layout: FrameLayout | None = None
    if config.robot is not None:
        try:
            robot, layout = make_robot(config.robot)
        except ArmadaError as error:
            checks["robot"] = partial(_refused, error)
    if robot is not None and layout is not None:
        checks |= _of_robot(config, robot, layout, stack)
    checks |= _of_recordings(config, robot)
    if config.policy.path:
        checks["policy"] = lambda: _policy(config, layout)
    if config.inference.server:
        checks["policy server"] = lambda: policy_server(
            config.inference, config.robot_name, config.fps, layout, config.rename_map
        )
    checks["disk"] = lambda: _disk(config, robot)
    checks["clock"] = host.clock
    if config.broker.host:
        checks["broker"] = lambda: fleet.broker(config.broker, config.fleet)
    certificates = config.federation.root_certificates
    if config.federation.superlink:
        checks["superlink"] = lambda: fleet.superlink(config.federation.superlink, certificates)
    if config.federation.server:
        checks["server"] = lambda: fleet.server(
            config.federation.server, certificates, config.federation.token()
        )
    return checks


def _of_robot(
    config: DoctorConfig, robot: Robot, layout: FrameLayout, stack: ExitStack
) -> dict[str, Check]:
    assert config.robot is not None
    access = port.gain(config.robot, config.state, stack)
    if access.bus and isinstance(robot, SO101Sim):
        try:
            stack.enter_context(robot.powered())
        except ArmadaError as error:
            access.bus = access.cameras = False
            access.findings.append(Finding("port", Verdict.FAIL, error.message, "End that one"))
    checks: dict[str, Check] = {"port": lambda: iter(access.findings)}
    arms = followers(robot)
    for prefix, arm in arms:
        part = f"{prefix}servos"
        look = partial(servos.servos, arm, prefix)
        checks[part] = look if access.bus else partial(port.skipped, part)
    if not arms:
        checks["servos"] = lambda: iter(
            [Finding("servos", Verdict.SKIP, f"{robot.name} has no servo bus")]
        )
    see = partial(cameras.cameras, robot, layout)
    checks["cameras"] = see if access.cameras else partial(port.skipped, "cameras")
    return checks


def _of_recordings(config: DoctorConfig, robot: Robot | None) -> dict[str, Check]:
    spans: dict[str, tuple[float, float]] = {}
    if robot is not None:
        spans = {n: (r.low, r.high) for n, r in joint_ranges(robot).items() if r.high > r.low}
    sets: dict[str, dict[str, tuple[float, float]]] = {}
    if isinstance(robot, ReplayRobot):
        sets[str(robot.dataset.root)] = {}
    if config.dataset:
        sets[config.dataset] = spans
    own = config.state.default_dataset
    if (own / "meta" / "info.json").is_file():
        sets[str(own)] = spans
    return {f"data {name}": partial(travel.travel, name, of) for name, of in sets.items()}


def _policy(config: DoctorConfig, layout: FrameLayout | None) -> Iterator[Finding]:
    policy = read_config(config.policy.path, config.policy.overrides)
    detail = f"{policy.type} at {config.policy.path}"
    if layout is not None:
        check_fit(policy, layout, config.rename_map)
        check_possible(policy.type, config.inference.engine, config.inference.precision)
        detail += " fits this robot"
    yield Finding("policy", Verdict.OK, detail)


def _disk(config: DoctorConfig, robot: Robot | None) -> Iterator[Finding]:
    rate = host.recorded_rate(config.state.default_dataset)
    source = "as its own recordings so far"
    if rate is None:
        seen = getattr(robot, "cameras", {}).values()
        sizes = [(c.height, c.width, c.fps or _FPS) for c in seen if c.height and c.width]
        rate = host.estimated_rate(sizes)
        source = f"about, with {len(sizes)} camera{'s' if len(sizes) != 1 else ''}"
    yield from host.disk(config.state.root, rate, source)


def _refused(error: ArmadaError) -> Iterator[Finding]:
    yield from ()
    raise error
