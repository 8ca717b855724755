"""A robot that was off during the round pulls over a link that breaks: real gRPC, real resets."""

from __future__ import annotations

import threading

from agent.fleet import FleetClient
from agent.releases.pull import Puller
from benchmarks.inference.link import Link
from server.registry.releases import DELTA
from tests.agent.releases.conftest import CHUNK, Robot, Server
from tests.helpers import wait_until


def test_a_link_that_is_cut_twice_costs_no_byte_twice(server: Server, robot: Robot) -> None:
    manifest = server.train()
    entry = manifest["files"][DELTA]
    size = entry["bytes"]
    partial = robot.home.state.models / "incoming" / f"{entry['sha256']}.partial"
    assert size > 5 * CHUNK

    def there() -> int:
        return partial.stat().st_size if partial.exists() else 0

    def cut(link: Link) -> None:
        for part in (1, 2):
            wait_until(lambda part=part: there() >= part * size // 3, timeout_s=60)
            link.tell("cut")

    def emit(kind: str, **data: object) -> None:
        robot.events.append({"event": kind, **data})

    with Link(server.address) as link, FleetClient(link.address) as client:
        # Slow enough that there is a middle to be cut in.
        link.tell("shape", down_bps=8 * size / 2)
        cutter = threading.Thread(target=cut, args=(link,))
        cutter.start()
        model = Puller(client, robot.home, emit).pull()
        cutter.join()

    assert model.digest == manifest["digest"]
    (fetched,) = robot.said("release_fetched")
    assert (fetched["bytes"], len(fetched["cuts"])) == (size, 2)
    # The server was asked for what was missing, from the byte on that was kept.
    assert set(fetched["cuts"]) <= {offset for offset, _ in server.service.sent[1, DELTA]}
