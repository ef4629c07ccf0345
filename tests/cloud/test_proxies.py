"""A dashboard behind proxies: whose headers are believed, under a path, and with TLS of its own."""

import asyncio
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.sealing import write_master_keys
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.errors import StopService
from cardmint_cloud.local.processes import ChildProcess, free_port
from cardmint_cloud.settings import load
from cardmint_cloud.web.base_path import BasePath
from cardmint_cloud.web.proxies import ClientHeader, ProxyGuard
from cardmint_lab.system import installed_script
from tests.cloud.kit.accounts import MASTERS, PASSWORD, enrol
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.web import plain
from tests.cloud.test_accounts import HTML, GuardedSite, guarded_site

PROXIES = ("10.0.0.0/8", "fd00::/8", "127.0.0.1")


def seen(
    peer: str, header: ClientHeader = "x-forwarded-for", *, headers: dict[str, str]
) -> tuple[str, str, str]:
    """Return client, scheme and host as the application sees them."""
    got: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        got.append(scope)

    scope: Any = {
        "type": "http",
        "client": (peer, 5000),
        "scheme": "http",
        "headers": [
            (b"host", b"inner:8080"),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ],
    }
    guard: Any = ProxyGuard(app, PROXIES, header)
    asyncio.run(guard(scope, None, None))
    hosts = [value for name, value in got[0]["headers"] if name == b"host"]
    assert len(hosts) == 1
    return got[0]["client"][0], got[0]["scheme"], hosts[0].decode()


FORWARDED = {
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "cards.example.com",
}


def test_a_listed_proxy_is_believed() -> None:
    assert seen("10.1.2.3", headers=FORWARDED) == ("203.0.113.7", "https", "cards.example.com")
    assert seen("::ffff:10.1.2.3", headers=FORWARDED)[0] == "203.0.113.7"


@pytest.mark.parametrize("peer", ["203.0.113.9", "11.0.0.1", "fe80::1", "", "unix"])
def test_anybody_else_is_not(peer: str) -> None:
    assert seen(peer, headers=FORWARDED) == (peer, "http", "inner:8080")


@pytest.mark.parametrize(
    ("named", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, 10.9.9.9", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("10.9.9.9", "10.1.2.3"),
        ("6.6.6.6, unknown", "10.1.2.3"),
        ("6.6.6.6,", "10.1.2.3"),
        ("", "10.1.2.3"),
        ("' OR 1=1", "10.1.2.3"),
    ],
)
def test_what_a_client_writes_before_the_proxy_counts_for_nothing(named: str, client: str) -> None:
    assert seen("10.1.2.3", headers={"x-forwarded-for": named})[0] == client


def test_only_the_header_that_is_set_names_the_client() -> None:
    both = {"x-forwarded-for": "6.6.6.6", "fly-client-ip": "203.0.113.7"}
    assert seen("10.1.2.3", headers=both)[0] == "6.6.6.6"
    assert seen("10.1.2.3", "fly-client-ip", headers=both)[0] == "203.0.113.7"


def test_a_scheme_or_host_that_is_none_is_left() -> None:
    odd = {"x-forwarded-proto": "gopher", "x-forwarded-host": "a, b"}
    assert seen("10.1.2.3", headers=odd)[1:] == ("http", "inner:8080")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PROXIES", "nginx", "no address"),
        ("PROXIES", "10.0.0.1/8", "no address"),
        ("TLS_KEY", "key.pem", "tls_cert"),
        ("BASE_PATH", "cards", "base_path"),
        ("BASE_PATH", "/cards/", "base_path"),
        ("BASE_PATH", '/a"b', "base_path"),
        ("CLIENT_HEADER", "x-real-ip", "client_header"),
    ],
)
def test_settings_that_cannot_be(variable: str, value: str, says: str) -> None:
    with pytest.raises(StopService, match=says):
        load(None, {f"CARDMINT_CLOUD_WEB_{variable}": value})


@pytest.fixture
async def below(pool: Pool, engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[GuardedSite]:
    async with guarded_site(
        pool, engine, tmp_path, base_path="/shop/cards", proxies=("127.0.0.1",)
    ) as site:
        yield site


@pytest.mark.integration
async def test_under_a_path_every_address_has_it(below: GuardedSite) -> None:
    site, base = below.client, "/shop/cards"
    assert (await site.get("/")).status_code == 404
    assert (await site.get(f"{base}x/login")).status_code == 404
    assert (await site.get(base)).headers["location"] == f"{base}/"
    asked = await site.get(f"{base}/value?lot=a", headers=HTML)
    assert asked.headers["location"] == f"{base}/login?next=/value%3Flot%3Da"
    link = await below.accounts.invite(Role.VIEWER, NOW)
    data = {"name": "owl", "password": PASSWORD}
    assert (await site.post(f"{base}/join/{link}", data=data)).headers["location"] == f"{base}/"
    for path in ("/", "/items", "/reviews", "/account", "/account/factors", "/value", "/stations"):
        page = await site.get(f"{base}{path}")
        assert page.status_code == 200, path
        assert int(page.headers["content-length"]) == len(page.content)
        addresses = re.findall(
            r'\s(?:href|src|action|hx-get|hx-post|sse-connect)="(/[^"]*)"', page.text
        )
        assert len(addresses) > 10, path
        assert [one for one in addresses if not one.startswith(f"{base}/")] == [], path
    style = re.findall(r'href="([^"]+app.css[^"]*)"', page.text)[0]
    assert (await site.get(style)).status_code == 200
    assert (await site.get(f"{base}/api/v1/shop/items")).json()["items"] == []
    part = await site.get(f"{base}/newest", headers={"hx-request": "true"})
    assert part.status_code == 200


@pytest.mark.integration
async def test_links_and_sessions_name_what_the_proxy_names(below: GuardedSite) -> None:
    site, base = below.client, "/shop/cards"
    link = await below.accounts.invite(Role.ADMIN, NOW)
    headers = {
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "cards.example.com",
    }
    data = {"name": "owl", "password": PASSWORD}
    await site.post(f"{base}/join/{link}", data=data, headers=headers)
    await enrol(below.accounts, site.cookies["session"], NOW)
    made = plain(await site.post(f"{base}/people/invite", data={"role": "viewer"}, headers=headers))
    assert "<code>https://cards.example.com/shop/cards/join/" in made
    assert "203.0.113.7" in plain(await site.get(f"{base}/account", headers=headers))
    foreign = {**headers, "x-forwarded-host": "evil.example.com"}
    assert (await site.get(f"{base}/account", headers=foreign)).status_code == 421


def test_what_is_no_request_passes() -> None:
    got: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        got.append(scope["type"])

    for guard in (BasePath(app, "/x"), ProxyGuard(app, ())):
        asyncio.run(guard({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert got == ["lifespan", "lifespan"]


def make_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert, secret


@pytest.mark.integration
def test_it_serves_tls_by_files_of_its_own(database: str, tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    write_master_keys(tmp_path / "keys", MASTERS)
    port, metrics_port, log = free_port(), free_port(), tmp_path / "serve.log"
    environment = {
        "CARDMINT_CLOUD_DATABASE": database,
        "CARDMINT_CLOUD_TENANT": "shop",
        "CARDMINT_CLOUD_MASTER_KEYS": str(tmp_path / "keys"),
        "CARDMINT_CLOUD_WEB_PORT": str(port),
        "CARDMINT_CLOUD_WEB_METRICS_PORT": str(metrics_port),
        "CARDMINT_CLOUD_WEB_ACCOUNTS": "true",
        "CARDMINT_CLOUD_WEB_TLS_CERT": str(cert),
        "CARDMINT_CLOUD_WEB_TLS_KEY": str(key),
    }
    child = ChildProcess(installed_script(["cardmint-cloud", "serve"]), log, env=environment)
    trusted = ssl.create_default_context(cafile=str(cert))

    def answers() -> bool:
        try:
            return client.get("/login").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        with httpx.Client(base_url=f"https://localhost:{port}", verify=trusted) as client:
            child.wait_until(answers, timeout_s=60)
            answer = client.get("/login")
            assert client.get("/metrics").status_code == 401
            scraper = {"host": "anything.internal"}
            scraped = client.get(f"https://localhost:{metrics_port}/metrics", headers=scraper)
            assert "cardmint_items" in scraped.text
            for path in ("/login", "/people", "/healthz", "/metrics/"):
                other = client.get(f"https://localhost:{metrics_port}{path}", headers=scraper)
                assert other.status_code == 404, path
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert f"https://127.0.0.1:{port}/" in log.read_text()
    finally:
        child.stop()
    for wrong in ("CARDMINT_CLOUD_WEB_TLS_KEY", "CARDMINT_CLOUD_MASTER_KEYS"):
        broken = {**environment, wrong: str(tmp_path / "none")}
        child = ChildProcess(installed_script(["cardmint-cloud", "serve"]), log, env=broken)
        assert child.wait(60)
        assert child.code == 1
        assert "none" in log.read_text()
