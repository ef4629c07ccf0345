"""Certificates for a broker on loopback, each signed by its own authority."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def make_certificates(folder: Path, *, days: int = 10) -> Path:
    """Write ca.pem, cert.pem and key.pem for 127.0.0.1, and return the folder.

    They are valid from yesterday, for `days` days.
    """
    folder.mkdir()
    authority_key, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {folder.name}")])
    broker = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    begins = datetime.now(UTC) - timedelta(days=1)

    def made(
        subject: x509.Name, whose: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(whose.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + timedelta(days=days))
            .add_extension(extension, critical=False)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(whose.public_key()), critical=False
            )
            .sign(authority_key, SHA256())
        )

    ca = made(authority, authority_key, x509.BasicConstraints(ca=True, path_length=0))
    certificate = made(
        broker, key, x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return folder
