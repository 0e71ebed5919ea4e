"""The program of the probe, against servers on this machine's loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
IDENTITY = "spiffe://cluster.local/ns/team-a/sa/ray-head"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of a workload, as istiod makes them, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cluster.local")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(IDENTITY)]), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("pair") / "pair.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that hands each connection to a function."""
    with socket.create_server((HOST, 0)) as server:

        def run() -> None:
            while True:
                try:
                    wire, _ = server.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), wire:
                    wire.settimeout(5)
                    handle(wire)

        threading.Thread(target=run, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


def talk(port: int) -> dict[str, Any]:
    """What the program says of a port."""
    program = resources.files("rayfort.conformance").joinpath("probe_program.py").read_text()
    asked = json.dumps({"knock": [[HOST, port]], "talk": [[HOST, port]]})
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, asked], capture_output=True, text=True, check=True, timeout=60
    )
    said = json.loads(done.stdout)
    return {"knock": said["knock"][f"{HOST}:{port}"], **said["talk"][f"{HOST}:{port}"]}


def tls(pair: Path, *, oldest: ssl.TLSVersion, demand: bool) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    context.load_verify_locations(pair)
    context.minimum_version = oldest
    context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_NONE

    def handle(wire: socket.socket) -> None:
        with context.wrap_socket(wire, server_side=True) as spoken:
            spoken.recv(100)
            spoken.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    return handle


def test_a_sidecar_as_it_should_be(pair: Path) -> None:
    with serving(tls(pair, oldest=ssl.TLSVersion.TLSv1_3, demand=True)) as port:
        said = talk(port)
    assert said["knock"] == said["connect"] == "open"
    assert said["plain"] == "closed"
    assert "PROTOCOL_VERSION" in said["tls12"]
    assert "CERTIFICATE_REQUIRED" in said["tls13"]
    assert said["identity"] == IDENTITY


def test_one_that_takes_tls_1_2_and_anybody(pair: Path) -> None:
    with serving(tls(pair, oldest=ssl.TLSVersion.TLSv1_2, demand=False)) as port:
        said = talk(port)
    assert said["tls12"] == said["tls13"] == "accepted"


def test_one_that_takes_tls_1_2_from_those_with_a_certificate(pair: Path) -> None:
    with serving(tls(pair, oldest=ssl.TLSVersion.TLSv1_2, demand=True)) as port:
        said = talk(port)
    assert "PROTOCOL_VERSION" not in said["tls12"]
    assert said["tls12"] != "accepted"
    assert "CERTIFICATE_REQUIRED" in said["tls13"]


def test_one_that_speaks_plaintext() -> None:
    def answer(wire: socket.socket) -> None:
        wire.recv(100)
        wire.sendall(b"HTTP/1.1 401 Unauthorized\r\n\r\n")

    with serving(answer) as port:
        said = talk(port)
    assert said["plain"] == "answered"
    assert "CERTIFICATE_REQUIRED" not in said["tls13"]


def test_one_that_hangs_up() -> None:
    with serving(lambda wire: None) as port:
        said = talk(port)
    assert said["plain"] == "closed"
    assert "PROTOCOL_VERSION" not in said["tls12"]


def test_nobody() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    assert talk(port) == {"knock": "refused", "connect": "refused"}
