"""The part of the fleet's gRPC service that robots fetch releases by."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import grpc

from agent.proto import fleet_pb2 as pb
from agent.proto.fleet_pb2_grpc import FleetServicer
from agent.releases.manifest import BASE, TRAINABLE
from robots.errors import ConfigError, FederationError
from server.fitting import NEWEST, fitting
from server.registry.releases import Releases
from server.status import as_status

CHUNK_BYTES = 1 << 18
"""A message is the least that arrives: what of it was under way when a link is cut comes again."""


class ReleaseService(FleetServicer):
    """Lists releases, shows their manifests, sends their files.

    Args:
        releases: The registry.
    """

    def __init__(self, releases: Releases) -> None:
        self._releases = releases

    def ListReleases(
        self, request: pb.ListReleasesRequest, context: grpc.ServicerContext
    ) -> pb.ListReleasesResponse:
        # `armada doctor` compares clocks: the SuperLink refuses a robot whose clock is ahead.
        context.send_initial_metadata((("date", formatdate(usegmt=True)),))
        versions = self._releases.versions()[-NEWEST:]
        newest = fitting(self._release(self._releases.manifest(v)) for v in reversed(versions))
        return pb.ListReleasesResponse(
            releases=reversed(newest), release_key=self._releases.signer.public
        )

    def GetManifest(
        self, request: pb.GetManifestRequest, context: grpc.ServicerContext
    ) -> pb.Manifest:
        with as_status(context):
            version = request.version or self._releases.latest
            if version is None:
                raise FederationError("there is no release yet", field="version")
            return self._signed(version)

    def GetBase(self, request: pb.GetBaseRequest, context: grpc.ServicerContext) -> pb.Manifest:
        with as_status(context):
            return self._signed(BASE)

    def FetchRelease(
        self, request: pb.FetchReleaseRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.Chunk]:
        with as_status(context):
            path = self._releases.file(request.version, request.file)
            total = path.stat().st_size
            if request.offset > total:
                raise ConfigError(
                    f"is beyond the file's {total} bytes", field="offset", value=request.offset
                )
            with path.open("rb") as file:
                offset = request.offset
                file.seek(offset)
                while data := file.read(CHUNK_BYTES):
                    yield pb.Chunk(offset=offset, data=data, total=total)
                    offset += len(data)

    def _signed(self, version: int) -> pb.Manifest:
        return pb.Manifest(
            json=self._releases.manifest_bytes(version),
            signature=self._releases.signature(version),
        )

    def _release(self, manifest: dict[str, Any]) -> pb.Release:
        version, files, way = manifest["version"], manifest["files"], manifest["delta"]

        def kept(file: str) -> int:
            return files[file]["bytes"] if self._releases.keeps(version, file) else 0

        return pb.Release(
            version=version,
            digest=manifest["digest"],
            trainable_digest=manifest["trainable_digest"],
            base_digest=manifest["base_digest"],
            time=manifest["time"],
            round=manifest["round"],
            participants=[p.get("robot", p["node"]) for p in manifest["participants"]],
            samples=manifest["samples"],
            bytes=kept(TRAINABLE),
            delta_bytes=kept(way["file"]) if way else 0,
            encoding=manifest["encoding"],
        )
