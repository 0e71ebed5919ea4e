"""Certificates as the mesh's own CA issues them to sidecars, and as somebody else's CA would."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOUR = dt.timedelta(hours=1)
_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key as PEM text."""

    certificate: str
    key: str

    def write(self, file: Path) -> Path:
        """Both in one file, as clients read them."""
        file.write_text(self.certificate + self.key)
        return file


class Authority:
    """A CA that issues what a sidecar gets: no subject, and the identity as a URI."""

    def __init__(self, certificate: x509.Certificate, key: _Key) -> None:
        self._certificate, self._key = certificate, key

    @classmethod
    def of_mesh(cls, certificate: bytes, key: bytes) -> Authority:
        """The mesh's own, from its Secret."""
        loaded = serialization.load_pem_private_key(key, None)
        assert isinstance(loaded, _Key)
        return cls(x509.load_pem_x509_certificate(certificate), loaded)

    @classmethod
    def foreign(cls) -> Authority:
        """Somebody else's, which says the same of itself as Istio's."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cluster.local")])
        made = (
            _unsigned(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(made, key)

    @property
    def root(self) -> str:
        """Its certificate as PEM text."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, identity: str) -> Certificate:
        """A certificate for a sidecar with this identity (``spiffe://…``)."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = (
            _unsigned(x509.Name([]), self._certificate.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True
            )
            .sign(self._key, hashes.SHA256())
        )
        return Certificate(
            made.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        )


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - HOUR)
        .not_valid_after(now + 24 * HOUR)
    )
