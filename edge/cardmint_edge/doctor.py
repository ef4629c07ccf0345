"""The doctor: checks each thing that the station needs, and names the remedy of a problem."""

import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Literal

import httpx
import msgspec
from cryptography import x509
from msgspec import Struct, field

from cardmint_contracts.http import TENANT_PATH
from cardmint_contracts.settings import BrokerSettings
from cardmint_edge.adapters.cameras.live import LiveCamera
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.lan import is_free
from cardmint_edge.adapters.models import (
    CardFinder,
    LanguageTrigrams,
    ModelUnusable,
    PictureEmbedder,
    TextReader,
)
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.adapters.sqlite.outbox import OUTBOX_FILE
from cardmint_edge.capture import Camera
from cardmint_edge.errors import EdgeError, Park, Stop
from cardmint_edge.settings import EdgeSettings
from cardmint_edge.station_setup import login_problem

TIMEOUT_S = 5.0
EXPIRES_SOON_DAYS = 30
MIN_FREE_BYTES = 1 << 30

Health = Literal["well", "look", "ill"]


class CheckResult(Struct, frozen=True, kw_only=True):
    """The result of one check.

    Health `ill`: the station cannot work. `look`: it works, and needs attention.
    """

    part: str
    health: Health
    message: str = field(name="says")
    remedy: str = field(name="mend", default="")


Check = Callable[[EdgeSettings], CheckResult]


def examine(settings: EdgeSettings, camera: Callable[[], Camera]) -> Iterator[CheckResult]:
    """Check each part. `camera` opens the camera, unless an agent runs that uses it."""
    yield _data(settings)
    yield _disk(settings)
    yield _clock()
    yield _pack(settings)
    yield _models()
    if Database.is_taken(settings.station.data / OUTBOX_FILE):
        yield CheckResult(
            part="camera", health="well", message="the running agent uses it; see its page"
        )
    else:
        yield _camera(camera)
        yield _page(settings)
    reached = True
    for result in _broker(settings.broker):
        reached = reached and result.health == "well"
        yield result
    if reached:
        yield _login(settings)
    yield from _cloud(settings)


def _data(settings: EdgeSettings) -> CheckResult:
    path = settings.station.data / OUTBOX_FILE
    if not path.exists():
        return CheckResult(
            part="outbox", health="well", message="no outbox yet; the first start makes it"
        )
    try:
        with closing(Database.open_read_only(path)) as database:
            ((waiting,),) = database.read("SELECT count(*) FROM events")
            verdict = database.read("PRAGMA quick_check(1)")[0][0]
    except Stop as error:
        return CheckResult(
            part="outbox", health="ill", message=str(error), remedy="make a copy of it first"
        )
    if verdict != "ok":
        return CheckResult(
            part="outbox",
            health="ill",
            message=str(verdict),
            remedy="make a copy of it; `cardmint-edge outbox export`",
        )
    return CheckResult(
        part="outbox", health="well", message=f"sound, {waiting} events wait to be sent"
    )


def _page(settings: EdgeSettings) -> CheckResult:
    station = settings.station
    if is_free(station.page_host, station.page_port):
        return CheckResult(part="page", health="well", message=f"port {station.page_port} is free")
    return CheckResult(
        part="page",
        health="ill",
        message=f"another program uses port {station.page_port} of {station.page_host}",
        remedy="set station.page_port to another one, such as 8081",
    )


def _disk(settings: EdgeSettings) -> CheckResult:
    folder = next(
        path for path in (settings.station.data, *settings.station.data.parents) if path.exists()
    )
    free = shutil.disk_usage(folder).free
    message = f"{free / 1e9:.1f} GB free"
    if free < MIN_FREE_BYTES:
        return CheckResult(
            part="disk",
            health="look",
            message=message,
            remedy="make room; images are deleted to keep counting",
        )
    return CheckResult(part="disk", health="well", message=message)


def _clock() -> CheckResult:
    if StationClock()().clock_synced:
        return CheckResult(
            part="clock",
            health="well",
            message=f"set by the network; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        )
    remedy = (
        "let the machine reach a time server (systemd-timesyncd or chrony);"
        " until then the dates of cards may be wrong"
    )
    return CheckResult(part="clock", health="look", message="not set by the network", remedy=remedy)


def _pack(settings: EdgeSettings) -> CheckResult:
    try:
        with closing(Pack(settings.recognition.pack)) as pack:
            return CheckResult(part="pack", health="well", message=f"version {pack.version}")
    except Stop as error:
        return CheckResult(
            part="pack",
            health="ill",
            message=str(error),
            remedy="name an undamaged pack in recognition.pack",
        )


def _models() -> CheckResult:
    usable, unusable = [], []
    for name, model in (
        ("corners", CardFinder),
        ("reader", TextReader),
        ("embedding", PictureEmbedder),
        ("languages", LanguageTrigrams),
    ):
        try:
            usable.append(f"{name} {model().version}")
        except ModelUnusable as error:
            unusable.append(str(error))
    if unusable:
        remedy = (
            "install the agent again; until then the classical method takes their place,"
            " and asks about more cards"
        )
        return CheckResult(part="models", health="look", message="; ".join(unusable), remedy=remedy)
    return CheckResult(part="models", health="well", message=", ".join(usable))


def _camera(make: Callable[[], Camera]) -> CheckResult:
    try:
        with closing(make()) as camera:
            camera.next(1.0)
            trouble = camera.trouble if isinstance(camera, LiveCamera) else ""
        if trouble:
            message, _, remedy = trouble.partition("; ")
            return CheckResult(part="camera", health="look", message=message, remedy=remedy)
    except Park:
        pass
    except EdgeError as error:
        message, _, remedy = str(error).partition("; ")
        return CheckResult(part="camera", health="ill", message=message, remedy=remedy)
    return CheckResult(part="camera", health="well", message="it answers")


def _broker(broker: BrokerSettings) -> Iterator[CheckResult]:
    where = f"{broker.host}:{broker.port}"
    try:
        with socket.create_connection((broker.host, broker.port), timeout=TIMEOUT_S) as tcp_socket:
            if not broker.tls:
                yield CheckResult(
                    part="broker", health="well", message=f"{where} takes connections, without TLS"
                )
                return
            context = ssl.create_default_context(
                cafile=str(broker.ca_file) if broker.ca_file else None
            )
            if broker.cert_file is not None:
                context.load_cert_chain(broker.cert_file, broker.key_file)
            with context.wrap_socket(tcp_socket, server_hostname=broker.host) as tls_socket:
                certificate = x509.load_der_x509_certificate(
                    tls_socket.getpeercert(binary_form=True) or b""
                )
    except ssl.SSLCertVerificationError as error:
        remedy = "check broker.ca_file, the broker's name in its certificate, and the clock"
        yield CheckResult(
            part="broker", health="ill", message=f"{where}: {error.verify_message}", remedy=remedy
        )
        return
    except (OSError, ValueError) as error:
        remedy = (
            "check broker.host and port, the cable, and that the broker runs;"
            " counting goes on without it"
        )
        yield CheckResult(part="broker", health="look", message=f"{where}: {error}", remedy=remedy)
        return
    yield CheckResult(part="broker", health="well", message=f"{where} takes connections, with TLS")
    yield _certificate("broker's certificate", certificate)
    if broker.cert_file is not None:
        yield _certificate(
            "own certificate", x509.load_pem_x509_certificate(broker.cert_file.read_bytes())
        )


def _certificate(part: str, certificate: x509.Certificate) -> CheckResult:
    left = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    message = f"valid until {certificate.not_valid_after_utc:%Y-%m-%d}"
    if left < 0:
        return CheckResult(
            part=part, health="ill", message=f"{message}: over", remedy="issue a new one"
        )
    if left < EXPIRES_SOON_DAYS:
        return CheckResult(
            part=part,
            health="look",
            message=f"{message}: {left} days",
            remedy="issue a new one in time",
        )
    return CheckResult(part=part, health="well", message=message)


def _login(settings: EdgeSettings) -> CheckResult:
    problem = login_problem(settings.broker, settings.station)
    if problem:
        message, _, remedy = problem.partition("; ")
        return CheckResult(part="login", health="look", message=message, remedy=remedy)
    user = settings.broker.username
    return CheckResult(
        part="login",
        health="well",
        message=f"the broker takes {user}" if user else "the broker takes it without a user",
    )


def _cloud(settings: EdgeSettings) -> Iterator[CheckResult]:
    url = settings.cloud.url
    if not url:
        yield CheckResult(
            part="cloud", health="well", message="cloud.url is not set: images stay here"
        )
        return
    began = time.perf_counter()
    try:
        response = httpx.get(url + TENANT_PATH, timeout=TIMEOUT_S, follow_redirects=True)
    except httpx.HTTPError as error:
        remedy = "check cloud.url and the network; images wait, counting goes on"
        yield CheckResult(part="cloud", health="look", message=f"{url}: {error}", remedy=remedy)
        return
    yield CheckResult(
        part="cloud",
        health="well",
        message=f"{url} answers {response.status_code}"
        f" in {(time.perf_counter() - began) * 1000:.0f} ms",
    )
    yield _tenant(settings.station.tenant, response)


def _tenant(own: str, response: httpx.Response) -> CheckResult:
    """Compare the station's tenant with the one that the dashboard shows."""
    try:
        theirs = msgspec.json.decode(response.content, type=_Tenant).tenant
    except msgspec.DecodeError:
        return CheckResult(
            part="tenant",
            health="look",
            message="the cloud does not say which tenant it shows",
            remedy="compare station.tenant with the foot of the dashboard yourself",
        )
    if theirs != own:
        return CheckResult(
            part="tenant",
            health="ill",
            message=f"the station is {own}'s, the dashboard shows {theirs}'s cards",
            remedy=f'set station.tenant = "{theirs}", or the cloud\'s tenant to {own}',
        )
    return CheckResult(part="tenant", health="well", message=f"{own}, as on the dashboard")


class _Tenant(Struct):
    tenant: str
