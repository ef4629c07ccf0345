"""Settings of the service: one frozen value from a TOML file and the environment."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from cardmint_cloud.domain.review_rules import ReviewRules
from cardmint_cloud.errors import StopService
from cardmint_contracts import topics
from cardmint_contracts.errors import BadTopic
from cardmint_contracts.settings import (
    Address,
    BrokerSettings,
    Port,
    Secret,
    Section,
    SettingsError,
    read_settings,
    settings_faults,
)

PREFIX = "CARDMINT_CLOUD_"
LOOPBACK = "127.0.0.1"
ProviderName = Literal["tcgdex", "pokemontcg", "pricecharting", "tcgcsv"]


def _check_networks(key: str, networks: tuple[str, ...]) -> None:
    for one in networks:
        try:
            ip_network(one)
        except ValueError:
            message = f"{key}: {one} is no address and no network, such as 10.0.0.0/8"
            raise ValueError(message) from None


class WebSettings(Section, frozen=True):
    """Where the dashboard listens, and to which names it answers.

    `accounts` makes people sign in; without it nobody but this machine is served. `second_factor`
    says who must have one. `https` says that browsers come by HTTPS, through a proxy that ends it.
    `metrics_port` serves `/metrics`, and nothing else, to whoever reaches it; 0 for none.
    """

    host: str = LOOPBACK
    port: Port = 8080
    metrics_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    hosts: tuple[str, ...] = ()
    accounts: bool = False
    second_factor: Literal["admins", "everybody"] = "admins"
    https: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    base_path: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*\Z")] = ""
    proxies: tuple[str, ...] = ()
    client_header: Literal["x-forwarded-for", "fly-client-ip"] = "x-forwarded-for"

    @property
    def secure(self) -> bool:
        """Whether browsers come by HTTPS: to this process, or to a proxy before it."""
        return self.https or bool(self.tls_cert)

    def address(self, host: str = LOOPBACK) -> str:
        """Return where browsers reach this process, without a `/` at the end."""
        scheme = "https" if self.tls_cert else "http"
        return f"{scheme}://{host}:{self.port}{self.base_path}"

    @property
    def public_address(self) -> str:
        """Where people reach it, by the first of `hosts`; through a proxy that ends HTTPS."""
        host = self.hosts[0] if self.hosts else LOOPBACK
        behind = self.https and not self.tls_cert
        return f"https://{host}{self.base_path}" if behind else self.address(host)

    def __post_init__(self) -> None:
        _check_networks("proxies", self.proxies)
        if self.metrics_port == self.port:
            message = "metrics_port: it is `port`, which serves everything else"
            raise ValueError(message)
        if self.tls_key and not self.tls_cert:
            message = "tls_key: it needs `tls_cert`"
            raise ValueError(message)
        if self.host != LOOPBACK and not self.accounts:
            message = "host: other machines are served with `accounts = true` only"
            raise ValueError(message)


class PriceSettings(Section, frozen=True):
    """The price providers in the order in which they are asked, and their addresses."""

    order: tuple[ProviderName, ...] = ("tcgdex", "pokemontcg", "tcgcsv")
    tcgdex_url: str = "https://api.tcgdex.net/v2/en"
    pokemontcg_url: str = "https://api.pokemontcg.io/v2"
    pricecharting_url: str = "https://www.pricecharting.com"
    tcgcsv_url: str = "https://tcgcsv.com"
    every_s: Annotated[int, Meta(ge=1, le=3600)] = 5
    calls_a_day: Annotated[int, Meta(ge=1)] = 5000

    def __post_init__(self) -> None:
        if len(set(self.order)) < len(self.order):
            message = "order: a provider is named twice"
            raise ValueError(message)


class ReviewSettings(Section, frozen=True):
    """The rules by which a person is asked about a counted card. 0 turns a rule off."""

    version: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,30}\Z")] = "1"
    low_confidence: Annotated[float, Meta(ge=0, le=1)] = 0.0
    small_margin: Annotated[float, Meta(ge=0, le=1)] = 0.0
    high_value: Annotated[int, Meta(ge=0)] = 200_00
    spread: Annotated[float, Meta(ge=0)] = 20.0
    duplicates: bool = True
    audit: Annotated[float, Meta(ge=0, le=1)] = 0.01
    hold: tuple[str, ...] = ("possible-duplicate",)
    escalate_h: Annotated[float, Meta(gt=0)] = 24.0
    expire_h: Annotated[float, Meta(gt=0)] = 168.0

    def rules(self) -> ReviewRules:
        """Return the rules as the domain uses them."""
        return ReviewRules(
            version=self.version,
            low_confidence=self.low_confidence,
            small_margin=self.small_margin,
            high_value=self.high_value,
            spread=self.spread,
            duplicates=self.duplicates,
            audit=self.audit,
            held=frozenset(self.hold),
        )


class OidcSettings(Section, frozen=True):
    """An OpenID Connect provider by which people may sign in; none without an `issuer`."""

    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    name: Annotated[str, Meta(min_length=1, max_length=40)] = "another provider"

    def __post_init__(self) -> None:
        if not self.issuer:
            return
        parts = urlsplit(self.issuer)
        loopback = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not parts.hostname or not (parts.scheme == "https" or loopback):
            message = f"issuer: {self.issuer} is no address such as https://accounts.example.com"
            raise ValueError(message)
        if not self.client_id:
            message = "client_id: `issuer` needs the name under which the provider knows this one"
            raise ValueError(message)


class S3Settings(Section, frozen=True):
    """Access to a bucket for images. An empty `endpoint` means Amazon's own."""

    endpoint: str = ""
    region: str = "us-east-1"
    key: Secret = ""
    secret: Secret = ""


class StationAccessSettings(Section, frozen=True):
    """What a new station is told of the broker, which `cardmint-cloud up` sets.

    That is a login from the users in this folder, and the port.
    """

    broker_users: str = ""
    broker_port: Annotated[int, Meta(ge=0, le=65_535)] = 0


class CloudSettings(Section, frozen=True):
    """All settings with their defaults. The dashboard shows `tenant`.

    `database` is the address as the service's user, which may lead through a pooler in transaction
    mode; `database_direct` then leads past it. `database_owner` is that of the tables' owner. Each
    worker and each dashboard opens `database_connections` at most. Webhooks go to public addresses,
    and into `webhook_networks`.
    """

    tenant: str = "demo"
    database: Address = "postgresql://cardmint_service:cardmint@127.0.0.1:5432/cardmint"
    database_direct: Address = ""
    database_owner: Address = ""
    database_connections: Annotated[int, Meta(ge=6, le=200)] = 14
    images: str = "images"
    archive: str = "archive"
    artifacts: str = "artifacts"
    master_keys: str = ""
    audit_anchors: str = ""
    webhook_networks: tuple[str, ...] = ()
    broker: BrokerSettings = BrokerSettings()
    web: WebSettings = WebSettings()
    stations: StationAccessSettings = StationAccessSettings()
    prices: PriceSettings = PriceSettings()
    reviews: ReviewSettings = ReviewSettings()
    oidc: OidcSettings = OidcSettings()
    s3: S3Settings = S3Settings()

    def __post_init__(self) -> None:
        try:
            topics.name(self.tenant)
        except BadTopic as error:
            message = f"tenant: {error}"
            raise ValueError(message) from None
        _check_networks("webhook_networks", self.webhook_networks)
        if self.oidc.issuer and not self.web.accounts:
            message = "oidc: nobody signs in without `web.accounts`"
            raise ValueError(message)

    @property
    def direct(self) -> str:
        """The address for what outlives a transaction: LISTEN, and the job queue."""
        return self.database_direct or self.database

    @property
    def pooled(self) -> bool:
        """Whether `database` leads through a pooler: no prepared statement outlives its call."""
        return self.database_direct not in {"", self.database}

    @property
    def owner(self) -> str:
        """The address as the tables' owner, for what changes them or spans all tenants."""
        return self.database_owner or self.direct


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderKeys:
    """Keys of price providers, from the environment only; never shown or logged."""

    pokemontcg: str = field(default="", repr=False)
    pricecharting: str = field(default="", repr=False)


def load_keys(environment: Mapping[str, str] = os.environ) -> ProviderKeys:
    """Read `CARDMINT_POKEMONTCG_KEY` and `CARDMINT_PRICECHARTING_TOKEN`.

    Raises:
        StopService: a key has a character that no key has; the message does not show its value.
    """
    names = ("POKEMONTCG_KEY", "PRICECHARTING_TOKEN")
    found = {name: environment.get(f"CARDMINT_{name}", "").strip() for name in names}
    for name, key in found.items():
        if not key.isascii() or not key.isprintable() or " " in key:
            raise StopService(f"CARDMINT_{name}: has a character that no key has; copy it again")
    return ProviderKeys(
        pokemontcg=found["POKEMONTCG_KEY"], pricecharting=found["PRICECHARTING_TOKEN"]
    )


PATHS = ("images", "archive", "artifacts", "master_keys", "audit_anchors")
"""Settings that are files or folders; `images` may be a bucket, too."""

_Section = TypeVar("_Section", bound=Section)

_RENAMED = {
    "wares": "`artifacts`",
    "CARDMINT_CLOUD_WARES": "CARDMINT_CLOUD_ARTIFACTS",
    "broker.user": "`broker.username`",
    "broker.ca": "`broker.ca_file`, with `broker.tls`",
}
"""Settings of version 0.1, and what they are called now."""


def load(file: Path | None, environment: Mapping[str, str] = os.environ) -> CloudSettings:
    """Read the settings from a file, overridden by the environment.

    Variables are `CARDMINT_CLOUD_<KEY>` and `CARDMINT_CLOUD_<TABLE>_<KEY>`. A relative path counts
    from the file's folder, so that a folder can be copied with its settings.

    Raises:
        StopService: the file cannot be read, or a key is unknown or has a wrong value; the message
            has the path of the key.
    """
    values = _from_file(file) if file else {}
    folder = file.absolute().parent if file else Path.cwd()
    try:
        read = read_settings(CloudSettings, values, environment, prefix=PREFIX, folder=folder)
    except SettingsError as error:
        raise StopService(_told(file, str(error))) from None
    if file is None:
        return read
    web = _with_paths(read.web, ("tls_cert", "tls_key"), folder)
    return _with_paths(msgspec.structs.replace(read, web=web), PATHS, folder)


def faults(file: Path | None, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return everything for which `load` would stop, one line each.

    Raises:
        StopService: the file cannot be read.
    """
    values = _from_file(file) if file else {}
    folder = file.absolute().parent if file else Path.cwd()
    found = settings_faults(CloudSettings, values, environment, prefix=PREFIX, folder=folder)
    return [_told(file, fault) for fault in found]


def _told(file: Path | None, fault: str) -> str:
    key = fault.partition(":")[0]
    renamed = f"; it is {_RENAMED[key]} now" if key in _RENAMED else ""
    return f"{file or 'settings'}: {fault}{renamed}; see docs/settings-cloud.md"


def _with_paths(section: _Section, names: Iterable[str], folder: Path) -> _Section:
    """Return a section whose relative paths count from a folder; empty ones and buckets stay."""
    found = {name: getattr(section, name) for name in names}
    paths = {name: str(folder / path) for name, path in found.items() if path and "://" not in path}
    return msgspec.structs.replace(section, **paths)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise StopService(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StopService(f"{file}: not TOML: {error}") from None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
