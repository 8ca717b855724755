"""A certificate authority for one fleet, and its server's certificate.

Two files travel: ``ca.crt`` to every robot and operator. ``ca.key`` signs further certificates and
belongs in a safe place. Nothing is ever overwritten: a new server certificate by the same authority
is made once the old ``server.crt`` and ``server.key`` have been moved away.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from robots.errors import ConfigError

_CA_DAYS = 3650
_SERVER_DAYS = 825
"""The longest that Apple's systems believe in."""

_ALWAYS = ("localhost", "127.0.0.1", "::1")
"""The server's own processes come by loopback."""


@dataclass(frozen=True)
class CertFolder:
    """The files of a fleet's certificates."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def cert(self) -> Path:
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"


def make_certs(folder: Path, hosts: Sequence[str], *, fleet: str = "default") -> CertFolder:
    """Make what is missing: the authority, and the server's certificate.

    Args:
        folder: Where; made if needed.
        hosts: Names and addresses under which robots and operators reach the server.
        fleet: Its name stands in the authority's.

    Raises:
        ConfigError: no hosts, files that are there already, or a folder that can't be written.
    """
    files = CertFolder(folder)
    if not hosts:
        raise ConfigError(
            "needs the names or addresses of the server",
            field="--hosts",
            remedy="Such as --hosts=fleet.example.org,192.168.1.20",
        )
    for path in (files.cert, files.key):
        if path.exists():
            raise ConfigError(
                "is there already", field="certs", value=path, remedy="Move it away for a new one"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        authority, authority_key = _authority(files, fleet)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _server(authority, authority_key, key.public_key(), hosts)
        _write(files.key, _private(key), 0o600)
        _write(files.cert, _pem(certificate) + _pem(authority), 0o644)
    except OSError as error:
        raise ConfigError(
            f"can't be written: {error.strerror}", field="certs", value=folder
        ) from error
    return files


def _authority(
    files: CertFolder, fleet: str
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The folder's own, made if there is none."""
    if files.ca.exists() or files.ca_key.exists():
        try:
            key = serialization.load_pem_private_key(files.ca_key.read_bytes(), None)
            certificate = x509.load_pem_x509_certificate(files.ca.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError(
                f"its authority can't be read: {error}", field="certs", value=files.folder
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError("is no key of this command's", field="certs", value=files.ca_key)
        return certificate, key
    key = ec.generate_private_key(ec.SECP384R1())
    name = _name(f"Armada fleet {fleet}")
    certificate = (
        _builder(name, name, key.public_key(), _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    _write(files.ca_key, _private(key), 0o600)
    _write(files.ca, _pem(certificate), 0o644)
    return certificate, key


def _server(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePublicKey,
    hosts: Sequence[str],
) -> x509.Certificate:
    names = list(dict.fromkeys((*hosts, *_ALWAYS)))
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(_name(hosts[0]), authority.subject, key, _SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
        )
        .sign(authority_key, hashes.SHA384())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A robot without a battery for its clock may be behind until NTP answers.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise ConfigError("is no host", field="--hosts", value=host) from error


def _name(text: str) -> x509.Name:
    # 64 characters is the longest that X.509 allows here; what counts is the alternative name.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
