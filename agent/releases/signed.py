"""Manifests from the server, believed by their signatures."""

from __future__ import annotations

from agent.fleet import FleetClient
from agent.releases.manifest import BASE, Manifest
from agent.releases.signature import Signature
from agent.releases.transfer import Emit
from agent.releases.trust import TrustedKeys
from robots.errors import ModelError

LATEST = 0
"""Whoever asks for this version gets the newest."""


class SignedManifests:
    """Asks for manifests and checks them.

    Args:
        client: Of the fleet's server.
        trusted: Whom the robot believes.
        emit: Where it is told that a key was met for the first time.
    """

    def __init__(self, client: FleetClient, trusted: TrustedKeys, emit: Emit) -> None:
        self._client = client
        self._trusted = trusted
        self._emit = emit

    def release(self, version: int) -> tuple[Manifest, str]:
        """A release and the key that signed it.

        Args:
            version: ``LATEST``, or which.

        Raises:
            FederationError: the server doesn't answer, has no such release, or sent no manifest.
            ModelError: the signature is missing, wrong, or of a key that isn't trusted.
        """
        answer = self._client.signed_manifest(version)
        manifest, key = self._believe(answer.json, answer.signature)
        if version != LATEST and manifest.version != version:
            raise _wrong(manifest, version)
        if manifest.version == BASE:
            raise _wrong(manifest, version)
        return manifest, key

    def base(self) -> Manifest:
        """What the fleet starts from.

        Raises:
            FederationError, ModelError: as above.
        """
        answer = self._client.signed_base()
        manifest, _ = self._believe(answer.json, answer.signature)
        if manifest.version != BASE:
            raise _wrong(manifest, BASE)
        return manifest

    def _believe(self, data: bytes, signature: bytes) -> tuple[Manifest, str]:
        key = Signature.parse(signature).key
        if self._trusted.check(data, signature):
            self._emit("release_key_trusted", reason="the first release key that was met", key=key)
        return Manifest.parse(data), key


def _wrong(manifest: Manifest, version: int) -> ModelError:
    return ModelError(
        "isn't the release that was asked for", field="version", value=manifest.version or "base",
        remedy=f"Asked for {version or 'the latest or the base'}; is that a server of this fleet?",
    )  # fmt: skip
