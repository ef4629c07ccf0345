"""The private authority: short certificates, renewed in time, that a TLS peer accepts."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509

from cardmint_cloud.cli import cli
from cardmint_cloud.errors import Conflict, StopService
from cardmint_cloud.pki import PrivateAuthority

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> PrivateAuthority:
    return PrivateAuthority.make(tmp_path / "pki", NOW)


def test_a_station_is_named_by_its_certificate(authority: PrivateAuthority) -> None:
    issued = authority.station("shop/left", NOW)
    made = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    assert made.subject.rfc4514_string() == "CN=shop/left"
    assert made.not_valid_before_utc == NOW - timedelta(hours=1)
    assert made.not_valid_after_utc == issued.ends == NOW + timedelta(days=30)
    assert stat.S_IMODE(issued.key.stat().st_mode) == 0o600


def test_a_certificate_is_renewed_after_two_thirds_of_its_life(authority: PrivateAuthority) -> None:
    assert authority.station("shop/left", NOW).changed
    assert not authority.station("shop/left", NOW + timedelta(days=19)).changed
    assert authority.station("shop/left", NOW + timedelta(days=21)).changed
    assert authority.station("shop/left", NOW + timedelta(days=21), anew=True).changed


def test_the_brokers_certificate_follows_its_hosts(authority: PrivateAuthority) -> None:
    assert authority.broker(("mqtt.example.com", "192.0.2.7"), NOW).changed
    assert not authority.broker(("mqtt.example.com", "192.0.2.7"), NOW).changed
    assert authority.broker(("mqtt.example.com",), NOW).changed


def test_no_certificate_outlives_its_authority(authority: PrivateAuthority) -> None:
    late = NOW + timedelta(days=3640)
    assert authority.station("shop/left", late).ends == NOW + timedelta(days=3650)


def test_an_authority_is_never_replaced(authority: PrivateAuthority, tmp_path: Path) -> None:
    before = (tmp_path / "pki" / "stations-ca.pem").read_bytes()
    with pytest.raises(Conflict, match="already"):
        PrivateAuthority.make(tmp_path / "pki", NOW)
    assert (tmp_path / "pki" / "stations-ca.pem").read_bytes() == before


def test_a_handshake_needs_both_authorities(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = PrivateAuthority.make(tmp_path / "pki", now)
    station, broker = authority.station("shop/left", now), authority.broker(("localhost",), now)
    folder = tmp_path / "pki"
    assert handshake(broker, station, folder / "stations-ca.pem", folder / "broker-ca.pem") == (
        ((("commonName", "shop/left"),),)
    )
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(broker, station, folder / "broker-ca.pem", folder / "broker-ca.pem")
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(station, station, folder / "stations-ca.pem", folder / "broker-ca.pem")


def handshake(server: object, client: object, clients_ca: Path, server_ca: Path) -> object:
    """Let a TLS client and a server meet in memory; return the name that the client shows."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(server.certificate, server.key)  # type: ignore[attr-defined]
    serving.load_verify_locations(clients_ca)
    serving.verify_mode = ssl.CERT_REQUIRED
    asking = ssl.create_default_context(cafile=str(server_ca))
    asking.load_cert_chain(client.certificate, client.key)  # type: ignore[attr-defined]
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = serving.wrap_bio(up, down, server_side=True)
    client_side = asking.wrap_bio(down, up, server_hostname="localhost")
    for _ in range(4):
        for side in (client_side, server_side):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = server_side.getpeercert()
    assert found is not None
    return found["subject"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("stations-ca.pem", b"nothing"), ("stations-ca.key", b"nothing")],
    ids=["certificate", "key"],
)
def test_a_broken_authority_is_named(
    authority: PrivateAuthority, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / "pki" / name).write_bytes(content)
    with pytest.raises(StopService, match=name):
        authority.station("shop/left", NOW)


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["pki", *words])
    return done.exit_code, done.output + (str(done.exception) if done.exception else "")


def test_the_commands_make_all_that_a_shop_needs(tmp_path: Path) -> None:
    folder = str(tmp_path / "pki")
    assert run("station", "--folder", folder, "shop/left")[0] == 1
    assert run("make", "--folder", folder)[0] == 0
    code, said = run("station", "--folder", folder, "shop/left", "shop/right")
    assert (code, said.count("made: ")) == (0, 2)
    assert "stays: " in run("station", "--folder", folder, "shop/left")[1]
    assert run("broker", "--folder", folder, "mqtt.example.com")[0] == 0
    listed = run("list", "--folder", folder)[1]
    assert [line.split()[2] for line in listed.splitlines()] == [
        *("broker-ca.pem", "stations-ca.pem"),
        *("issued/broker.pem", "issued/shop/left.pem", "issued/shop/right.pem"),
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("station", "left"), "TENANT/STATION"),
        (("station", "shop/../left"), "TENANT/STATION"),
        (("station", f"shop/{'x' * 60}"), "64 characters"),
        (("broker", "two words"), "no name or address"),
    ],
    ids=["no tenant", "a path", "too long", "no host"],
)
def test_a_wrong_name_is_told(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    folder = str(tmp_path / "pki")
    run("make", "--folder", folder)
    code, said = run(words[0], "--folder", folder, *words[1:])
    assert code == 1
    assert told in said
