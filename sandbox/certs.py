"""The sandbox's own certificate authorities and the certificates that they issue.

Every file is written whole, mode 0600, and issued again when it is missing, damaged, about to expire or
no longer says what is wanted. So a half-made directory heals itself.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.kubeconfig import KeyPair
from sandbox.processes import write_private

_AUTHORITY_LIFE: Final = dt.timedelta(days=3650)
_LEAF_LIFE: Final = dt.timedelta(days=1825)
_RENEW_BEFORE: Final = dt.timedelta(days=90)
_CLOCK_SKEW: Final = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Subject:
    """Whom a certificate names. With `hosts` (DNS names and IP addresses) it is a server's as well."""

    common_name: str
    organizations: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class Authority:
    """A certificate authority whose files lie in `directory` as ca.crt and ca.key."""

    def __init__(self, directory: Path, common_name: str) -> None:
        self._directory = directory
        self.pair = KeyPair(directory / "ca.crt", directory / "ca.key")
        name = _name(Subject(common_name))
        loaded = _load(self.pair)
        if loaded is not None and _usable(loaded[0]) and loaded[0].subject == name:
            self._cert, self._key = loaded
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self._cert = (
                _builder(name, name, self._key.public_key(), _AUTHORITY_LIFE)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_key_usage(signs_certificates=True), critical=True)
                .sign(self._key, hashes.SHA256())
            )
            _save(self.pair, self._cert, self._key)

    def issue(self, file_name: str, subject: Subject) -> KeyPair:
        """The certificate `<file_name>.crt` with its key, issued now unless the one there still serves."""
        pair = KeyPair(self._directory / f"{file_name}.crt", self._directory / f"{file_name}.key")
        loaded = _load(pair)
        if loaded is not None and self._serves(loaded[0], subject):
            return pair
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(_name(subject), self._cert.subject, key.public_key(), _LEAF_LIFE)
        if subject.hosts:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names = x509.SubjectAlternativeName(_general_names(subject.hosts))
            builder = builder.add_extension(names, critical=False)
        cert = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        _save(pair, cert, key)
        return pair

    def _serves(self, cert: x509.Certificate, subject: Subject) -> bool:
        try:
            cert.verify_directly_issued_by(self._cert)
        except (InvalidSignature, ValueError, TypeError):
            return False
        try:
            names = list(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            names = []
        same_names = names == list(_general_names(subject.hosts))
        return _usable(cert) and cert.subject == _name(subject) and same_names


def signing_key(private: Path, public: Path) -> None:
    """Make the key pair with which service account tokens are signed and checked, unless it is there."""
    try:
        key = serialization.load_pem_private_key(private.read_bytes(), None)
    except (OSError, ValueError):
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(private, _pem(key))
    text = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if not public.exists() or public.read_bytes() != text:
        write_private(public, text.decode())


def _load(pair: KeyPair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    try:
        cert = x509.load_pem_x509_certificate(pair.cert.read_bytes())
        key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    except (OSError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or cert.public_key() != key.public_key():
        return None
    return cert, key


def _save(pair: KeyPair, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    write_private(pair.key, _pem(key))
    write_private(pair.cert, cert.public_bytes(serialization.Encoding.PEM).decode())


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _usable(cert: x509.Certificate) -> bool:
    return cert.not_valid_after_utc - _RENEW_BEFORE > dt.datetime.now(dt.UTC)


def _name(subject: Subject) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in subject.organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name)])


def _general_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, life: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
