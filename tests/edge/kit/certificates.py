"""Certificates for a broker on loopback and its clients, signed by an authority of their own."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates that are valid from yesterday, for `days` days."""

    def __init__(self, name: str, *, days: int = 10) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"authority {name}")
        self._begins = datetime.now(UTC) - timedelta(days=1)
        self._days = days

    def write(self, file: Path) -> Path:
        """Write the authority's own certificate, and return its file."""
        ca = self._made(
            self._name, self._key, x509.BasicConstraints(ca=True, path_length=0)
        ).public_bytes(Encoding.PEM)
        file.write_bytes(ca)
        return file

    def issue(self, certificate: Path, key: Path, common_name: str) -> None:
        """Write a certificate for 127.0.0.1 under a common name, and its key."""
        private = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        made = self._made(_named(common_name), private, address)
        certificate.write_bytes(made.public_bytes(Encoding.PEM))
        key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def _made(
        self, subject: x509.Name, whose: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(whose.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begins)
            .not_valid_after(self._begins + timedelta(days=self._days))
            .add_extension(extension, critical=False)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(whose.public_key()), critical=False
            )
            .sign(self._key, SHA256())
        )


def make_certificates(folder: Path, *, days: int = 10) -> Path:
    """Write ca.pem, cert.pem and key.pem for 127.0.0.1, and return the folder."""
    folder.mkdir()
    authority = Authority(folder.name, days=days)
    authority.write(folder / "ca.pem")
    authority.issue(folder / "cert.pem", folder / "key.pem", "broker")
    return folder


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
