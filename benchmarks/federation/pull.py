"""A release over a link that is cut twice: ``python -m benchmarks.federation.pull [--size full]``.

A robot that has the release before pulls an int8 release by ``python -m agent.releases``, and one
that has nothing fetches the whole file of trained tensors; beside them a plain download of that
file by Python's ``http.server`` and ``urllib``, which begins anew after each cut, as what knows no
offsets has to: also a Flower message that holds a model. All through the same proxy (shaped to
``--mbps``), which resets every connection when a third and when two thirds of the file have come.

*Came* is what arrived at the robot; *twice* is what of it had come before. *Wire* is what the
server's end put into the line: more than came, by headers and by what was under way when the line
was cut. The full size needs the hub's cache for the tokenizer (``HF_HUB_CACHE``), and 8 GB of disk.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import torch

from agent.fleet import FleetClient
from agent.paths import StateDir
from agent.policy import weights
from agent.policy.init import build_policy
from agent.policy.store import ModelStore
from agent.proto.fleet_pb2_grpc import add_FleetServicer_to_server
from agent.releases.manifest import TRAINABLE, Manifest
from agent.releases.transfer import Transfer
from benchmarks.inference.link import Link
from benchmarks.inference.setting import machine
from server.base import import_base
from server.registry.releases import DELTA, Releases
from server.registry.service import ReleaseService

_CHANGE = 1e-3
_POLL_S = 0.01
_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


@dataclass(frozen=True)
class Row:
    """One way of getting a release.

    Args:
        name: Which.
        size: Of the file, bytes.
        came: Bytes that arrived at the robot.
        wire: Bytes that the server's end sent.
        resumed: Where it went on after each cut, bytes.
        seconds: From the asking to the file, or to the verified and merged model.
        right: Whether the digests are the manifest's.
    """

    name: str
    size: int
    came: int
    wire: int
    resumed: list[int]
    seconds: float
    right: bool


class Cuts:
    """Cuts a link when a third and when two thirds of a file have come.

    Args:
        link: Which.
        size: Of the file.
        came: How much there is of it.
    """

    def __init__(self, link: Link, size: int, came: Callable[[], int]) -> None:
        self._link, self._marks, self._came = link, [size // 3, 2 * size // 3], came
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while self._marks and not self._over.wait(_POLL_S):
            if self._came() >= self._marks[0]:
                self._marks.pop(0)
                self._link.tell("cut")


def make(folder: Path, size: str) -> Releases:
    """A server's state with two releases: int8, each a small step."""
    features = {
        "cameras": {"wrist": (480, 640)},
        "action_names": [f"{joint}.pos" for joint in _JOINTS],
    }
    build_policy(folder / "policy", size="full" if size == "full" else "tiny", seed=0, **features)
    base = import_base(str(folder / "policy"), folder / "base")
    releases = Releases(folder / "releases")
    releases.add_base(base)
    for version in range(2):
        generator = torch.Generator().manual_seed(version)
        tensors = releases.trainable(version)
        for tensor in tensors.values():
            tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=_CHANGE)
        releases.add(
            tensors, base, run=1, round_id=1, server_round=version + 1,
            participants=[], metrics={}, encoding="int8",
        )  # fmt: skip
    return releases


@contextlib.contextmanager
def grpc_server(releases: Releases) -> Iterator[str]:
    """The registry's part of the fleet's service."""
    server = grpc.server(ThreadPoolExecutor(8))
    add_FleetServicer_to_server(ReleaseService(releases), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@contextlib.contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """The same folder by Python's own web server, which knows no offsets."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def copyfile(self, source: object, outputfile: object) -> None:
            with contextlib.suppress(OSError):  # The line was cut.
                super().copyfile(source, outputfile)  # type: ignore[arg-type]

    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def pulled(link: Link, state: StateDir, manifest: Manifest) -> Row:
    """By the robot's own process: manifest, signature, delta, digests, merge, gate."""
    entry = manifest.files[DELTA]
    partial = state.models / "incoming" / f"{entry.sha256}.partial"
    began, before = time.monotonic(), link.tell("count")["down"]
    with Cuts(link, entry.bytes, lambda: _size(partial)):
        done = subprocess.run(
            [sys.executable, "-m", "agent.releases",
             f"--state_dir={state.root}", f"--server={link.address}"],
            capture_output=True, text=True, check=False, env=dict(os.environ),
        )  # fmt: skip
    took = time.monotonic() - began
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    fetched = next((e for e in events if e["event"] == "release_fetched"), None)
    if done.returncode or fetched is None:
        raise RuntimeError(f"{events} {done.stderr[-2000:]}")
    current = ModelStore(state.models).current
    return Row(
        "armada: change of int8", entry.bytes, fetched["bytes"],
        link.tell("count")["down"] - before, fetched["cuts"], took,
        current is not None and current.digest == manifest.digest,
    )  # fmt: skip


def whole(link: Link, folder: Path, manifest: Manifest) -> Row:
    """The whole file, by what the robot's process fetches with."""
    entry = manifest.trainable
    events: list[dict[str, object]] = []
    partial = folder / f"{entry.sha256}.partial"
    began, before = time.monotonic(), link.tell("count")["down"]
    with (
        FleetClient(link.address) as client,
        Cuts(link, entry.bytes, lambda: _size(partial)),
    ):
        transfer = Transfer(client, folder, lambda kind, **data: events.append(data))
        path = transfer.fetch(manifest, TRAINABLE)
    took = time.monotonic() - began
    fetched = events[-1]
    return Row(
        "armada: whole file", entry.bytes, int(str(fetched["bytes"])),
        link.tell("count")["down"] - before, list(fetched["cuts"]),  # type: ignore[call-overload]
        took, weights.file_digest(path) == manifest.trainable_digest,
    )  # fmt: skip


def plain(link: Link, folder: Path, manifest: Manifest) -> Row:
    """Without offsets: from the beginning, until it comes in one piece."""
    entry = manifest.trainable
    url = f"http://{link.address}/{manifest.version:04d}/{TRAINABLE}"
    target, came, furthest = folder / "plain", 0, 0
    began, before = time.monotonic(), link.tell("count")["down"]
    with Cuts(link, entry.bytes, lambda: furthest):
        while _size(target) < entry.bytes:
            with (
                contextlib.suppress(OSError, http.client.HTTPException),
                target.open("wb") as out,
                urllib.request.urlopen(url, timeout=30) as answer,
            ):
                while data := answer.read(1 << 18):
                    out.write(data)
                    came += len(data)
                    furthest = max(furthest, out.tell())
    took = time.monotonic() - began
    return Row(
        "plain download, begun anew", entry.bytes, came, link.tell("count")["down"] - before,
        [0, 0], took, weights.file_digest(target) == manifest.trainable_digest,
    )  # fmt: skip


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def main() -> int:
    """Print the table; 1 if a digest is wrong or a byte came twice to a robot of ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("tiny", "full"), default="full")
    parser.add_argument("--mbps", type=float, default=200.0, help="of the link, Mbit/s; 0: as is")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pull-") as name:
        folder = Path(name)
        releases = make(folder, args.size)
        manifest = Manifest.parse(releases.manifest_bytes(2))
        state = StateDir(folder / "robot")
        state.create()
        store = ModelStore(state.models)
        store.ensure_current(str(folder / "policy"))
        store.promote(store.add(releases.folder(1) / "pretrained_model", origin={"release": 1}))
        rows = []
        for serves, way, where in (
            (grpc_server(releases), pulled, state),
            (grpc_server(releases), whole, folder),
            (http_server(folder / "releases"), plain, folder),
        ):
            with serves as address, Link(address) as link:
                link.tell("shape", down_bps=args.mbps * 1e6)
                rows.append(way(link, where, manifest))  # type: ignore[operator]
    print(f"{machine()}; SmolVLA {args.size}, release 2 of 2, link {args.mbps:g} Mbit/s, cut twice")
    print(f"{'':28}{'file':>9}{'came':>9}{'twice':>8}{'wire':>9}{'s':>7}  went on at, MB")
    for row in rows:
        print(
            f"{row.name:28}{row.size / 1e6:8.1f}M{row.came / 1e6:8.1f}M"
            f"{(row.came - row.size) / 1e6:7.1f}M{row.wire / 1e6:8.1f}M{row.seconds:7.1f}  "
            f"{', '.join(f'{at / 1e6:.1f}' for at in row.resumed)}"
            f"{'' if row.right else '  WRONG DIGEST'}"
        )
    ours = [row for row in rows if row.name.startswith("armada")]
    return int(any(not row.right or row.came != row.size for row in ours))


if __name__ == "__main__":
    sys.exit(main())
