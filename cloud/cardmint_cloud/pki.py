"""A private authority: short certificates for stations, and one for the broker.

Two authorities, because the broker takes whoever the stations' one signed for a station. A folder
holds `stations-ca.pem` and `broker-ca.pem` with their keys, and below `issued/` what they signed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cardmint_cloud.errors import Conflict, StopService

AuthorityName = Literal["stations", "broker"]
AUTHORITIES: tuple[AuthorityName, ...] = ("stations", "broker")
AUTHORITY_LIFE = timedelta(days=3650)
STATION_DAYS = 30
BROKER_DAYS = 365
BACKDATED = timedelta(hours=1)
"""A certificate begins so much earlier: a box's clock may be a little behind."""

_RENEWED = 2 / 3
"""The part of its life after which a certificate is made anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Issued:
    """A certificate's name, its files and its end. `changed`: it was made just now."""

    name: str
    certificate: Path
    key: Path
    ends: datetime
    changed: bool


class PrivateAuthority:
    """The two authorities of one folder, which only its owner can read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def make(cls, folder: Path, now: datetime) -> "PrivateAuthority":
        """Make both authorities in a folder.

        Raises:
            Conflict: they are there already.
            StopService: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            for name in AUTHORITIES:
                if (folder / f"{name}-ca.pem").exists():
                    raise Conflict(f"{folder} has an authority already; it stays as it is")
                _make_authority(folder, name, now)
        except OSError as error:
            raise StopService(f"{error.filename}: {error.strerror}") from error
        return cls(folder)

    def station(
        self, user: str, now: datetime, *, days: int = STATION_DAYS, anew: bool = False
    ) -> Issued:
        """Return a station's certificate, whose common name is `tenant/station`.

        One with a third of its life before it stays, unless `anew`.

        Raises:
            StopService: there is no authority in the folder, or it cannot be read.
        """
        names = x509.SubjectAlternativeName([x509.DNSName(user.replace("/", "."))])
        return self._issue("stations", user, names, now, timedelta(days=days), anew=anew)

    def broker(
        self, hosts: tuple[str, ...], now: datetime, *, days: int = BROKER_DAYS, anew: bool = False
    ) -> Issued:
        """Return the broker's certificate for host names and addresses. As with `station`.

        Other hosts than those of the present one make it anew.

        Raises:
            StopService: as with `station`.
        """
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        return self._issue("broker", "broker", names, now, timedelta(days=days), anew=anew)

    def issued(self, now: datetime) -> Iterator[tuple[str, float]]:
        """Yield every certificate's name, and the days until its end; negative when it is over."""
        for file in sorted(self._folder.glob("*-ca.pem")) + sorted(
            self._folder.glob("issued/**/*.pem")
        ):
            ends = _read_certificate(file).not_valid_after_utc
            yield str(file.relative_to(self._folder)), (ends - now) / timedelta(days=1)

    def _issue(
        self,
        authority: AuthorityName,
        name: str,
        names: x509.SubjectAlternativeName,
        now: datetime,
        life: timedelta,
        *,
        anew: bool,
    ) -> Issued:
        ca_file, ca_key_file = (
            self._folder / f"{authority}-ca.pem",
            self._folder / f"{authority}-ca.key",
        )
        certificate = self._folder / "issued" / f"{name}.pem"
        key = certificate.with_suffix(".key")
        ca = _read_certificate(ca_file)
        if not anew and certificate.exists() and key.exists():
            present = _read_certificate(certificate)
            if _stays(present, ca, names, now):
                ends = present.not_valid_after_utc
                return Issued(name=name, certificate=certificate, key=key, ends=ends, changed=False)
        private = ec.generate_private_key(ec.SECP256R1())
        ends = min(now + life, ca.not_valid_after_utc)
        usage = (
            ExtendedKeyUsageOID.CLIENT_AUTH
            if authority == "stations"
            else ExtendedKeyUsageOID.SERVER_AUTH
        )
        made = (
            _builder(_named(name), ca.subject, private.public_key(), now, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(names, critical=False)
            .add_extension(_authority_id(ca), critical=False)
            .sign(_read_key(ca_key_file), SHA256())
        )
        try:
            certificate.parent.mkdir(parents=True, exist_ok=True)
            _write(key, _key_bytes(private), 0o600)
            _write(certificate, made.public_bytes(Encoding.PEM))
        except OSError as error:
            raise StopService(f"{error.filename}: {error.strerror}") from error
        return Issued(name=name, certificate=certificate, key=key, ends=ends, changed=True)


def _stays(
    present: x509.Certificate,
    ca: x509.Certificate,
    names: x509.SubjectAlternativeName,
    now: datetime,
) -> bool:
    begins, ends = present.not_valid_before_utc, present.not_valid_after_utc
    same = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == names
    signer = present.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return same and signer == _authority_id(ca) and now < begins + (ends - begins) * _RENEWED


def _make_authority(folder: Path, name: AuthorityName, now: datetime) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = _named(f"CardMint {name}")
    made = (
        _builder(subject, subject, private.public_key(), now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(private, SHA256())
    )
    _write(folder / f"{name}-ca.key", _key_bytes(private), 0o600)
    _write(folder / f"{name}-ca.pem", made.public_bytes(Encoding.PEM))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _authority_id(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    address: IPv4Address | IPv6Address
    try:
        address = ip_address(host)
    except ValueError:
        return x509.DNSName(host)
    return x509.IPAddress(address)


def _key_bytes(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(file: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file, whole or not at all."""
    draft = file.with_name(f"{file.name}.part")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


def _read_certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except FileNotFoundError:
        raise StopService(
            f"{file}: is not there; `cardmint-cloud pki make` makes an authority"
        ) from None
    except (OSError, ValueError) as error:
        raise StopService(f"{file}: is no certificate that can be read: {error}") from None


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        found = load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise StopService(f"{file}: the authority's key cannot be read: {error}") from None
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise StopService(f"{file}: another kind of key than an authority of CardMint has")
    return found
