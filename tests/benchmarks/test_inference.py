"""The benchmarks of asynchronous inference run, tiny and short. What they measure is nobody's
assertion but this: Armada never acts on what is over, and a chunk comes to the robot that asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks import robots, uplink
from benchmarks.inference.servers import SERVERS
from benchmarks.inference.setting import Setting, setting


@pytest.fixture(scope="module")
def given() -> Iterator[Setting]:
    with setting("tiny") as given:
        yield given


@pytest.fixture(scope="module")
def servers(given: Setting) -> Iterator[None]:
    """The same two for all tests: half of what a benchmark costs is to start them."""
    starts = dict(SERVERS)
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name, start in starts.items():
            address = stack.enter_context(start(given.policy))
            patch.setitem(SERVERS, name, lambda policy, at=address: contextlib.nullcontext(at))
        yield


def each[T](names: object, measure: Callable[[str], T]) -> dict[str, T]:
    """All at once: the figures don't matter here."""
    listed = [*names]  # type: ignore[call-overload]
    with ThreadPoolExecutor() as pool:
        return dict(zip(listed, pool.map(measure, listed), strict=True))


def test_a_black_hole_in_the_uplink(given: Setting, servers: None) -> None:
    # Two contenders and two servers share two cores, and perhaps with other tests.
    lines = each(SERVERS, lambda name: uplink.swallowed(given, name, hole_s=2.0, after_s=15.0))
    for line in lines.values():
        assert line.run.log.sent
        assert len(line.row()) == len(uplink.HEADERS)
    ours = lines["Armada"]
    assert ours.over is not None
    assert any(ours.begin <= tick < ours.end for tick in ours.run.log.ticks), "the loop goes on"
    assert any(chunk > ours.over for chunk in ours.run.log.chunks), "chunks come again"
    assert ours.run.log.stale == 0


def test_three_robots_on_one_server(given: Setting, servers: None) -> None:
    lines = each(robots.FLEETS, lambda name: robots.measure(given, name, 3, 2.0))
    for line in lines.values():
        assert len(line.row()) == len(robots.HEADERS)
        assert any(robot.chunks or robot.strange for robot in line.fleet.robots)
    ours = lines["Armada"]
    assert not any(robot.strange for robot in ours.fleet.robots)
    assert all(robot.chunks for robot in ours.fleet.robots)
