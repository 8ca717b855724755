"""Certificates for a fleet: what a client believes, and what is never overwritten."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509

from robots.errors import ConfigError
from server.certs import make_certs
from server.commands.server import main


def handshake(folder: Path, name: str) -> None:
    """A TLS handshake with the server's certificate, by a client that knows the authority."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.crt", folder / "server.key")
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True, suppress_ragged_eofs=True) as secure:
            secure.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    client = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    with client.wrap_socket(ours, server_hostname=name) as secure:
        secure.send(b"x")
    thread.join()


@pytest.mark.parametrize("name", ["fleet.lan", "10.0.0.2", "localhost", "127.0.0.1", "::1"])
def test_a_client_believes_every_name_of_the_server(tmp_path: Path, name: str) -> None:
    make_certs(tmp_path, ["fleet.lan", "10.0.0.2"])

    handshake(tmp_path, name)


def test_keys_are_for_their_owner_only_and_the_certificate_ends(tmp_path: Path) -> None:
    files = make_certs(tmp_path, ["fleet.lan"])

    for key in (files.key, files.ca_key):
        assert key.stat().st_mode & 0o077 == 0
    certificate = x509.load_pem_x509_certificate(files.cert.read_bytes())
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=700) < left < datetime.timedelta(days=826)


def test_nothing_is_overwritten_and_a_new_certificate_has_the_old_authority(tmp_path: Path) -> None:
    files = make_certs(tmp_path, ["fleet.lan"])
    authority = files.ca.read_bytes()

    with pytest.raises(ConfigError, match="is there already"):
        make_certs(tmp_path, ["fleet.lan"])

    files.cert.unlink()
    files.key.unlink()
    make_certs(tmp_path, ["other.lan"])
    assert files.ca.read_bytes() == authority
    handshake(tmp_path, "other.lan")


def test_a_folder_with_half_an_authority_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("-")

    with pytest.raises(ConfigError, match="its authority can't be read"):
        make_certs(tmp_path, ["fleet.lan"])


def test_the_command_says_what_to_do_with_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["certs", str(tmp_path / "certs"), "--hosts=fleet.lan,10.0.0.2"]) == 0

    said = capsys.readouterr().out
    assert f"--tls_cert={tmp_path}/certs/server.crt" in said
    handshake(tmp_path / "certs", "10.0.0.2")
    with pytest.raises(ConfigError, match="--hosts"):
        main(["certs", str(tmp_path / "more")])
