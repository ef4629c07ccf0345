"""The doctor: looks at everything the station needs, and says of each what is wrong and what to do."""

import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Literal

import httpx
from cryptography import x509
from msgspec import Struct

from cardmint_contracts.settings import BrokerSettings
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.models import CardFinder, ModelUnusable, PictureEmbedder, TextReader
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.capture import Camera
from cardmint_edge.errors import EdgeError, Park, Stop
from cardmint_edge.outbox_commands import OUTBOX
from cardmint_edge.settings import EdgeSettings

TIMEOUT_S = 5.0
SOON_DAYS = 30
LEAST_FREE_BYTES = 1 << 30

Health = Literal["well", "look", "ill"]


class CheckResult(Struct, frozen=True, kw_only=True):
    """What was found of one part. `ill` keeps the station from working, `look` will some day."""

    part: str
    health: Health
    says: str
    mend: str = ""


Check = Callable[[EdgeSettings], CheckResult]


def examine(settings: EdgeSettings, camera: Callable[[], Camera]) -> Iterator[CheckResult]:
    """Look at each part. `camera` makes it; it is left alone while an agent runs."""
    yield _data(settings)
    yield _disk(settings)
    yield _clock()
    yield _pack(settings)
    yield _models()
    if Database.is_taken(settings.station.data / OUTBOX):
        yield CheckResult(
            part="camera", health="well", says="the running agent has it; its page says how it is"
        )
    else:
        yield _camera(camera)
    yield from _broker(settings.broker)
    yield _cloud(settings)


def _data(settings: EdgeSettings) -> CheckResult:
    path = settings.station.data / OUTBOX
    if not path.exists():
        return CheckResult(part="outbox", health="well", says="none yet; the first start makes it")
    try:
        with closing(Database.look(path)) as database:
            ((waiting,),) = database.read("SELECT count(*) FROM events")
            verdict = database.read("PRAGMA quick_check(1)")[0][0]
    except Stop as error:
        return CheckResult(
            part="outbox", health="ill", says=str(error), mend="keep a copy before anything else"
        )
    if verdict != "ok":
        return CheckResult(
            part="outbox",
            health="ill",
            says=str(verdict),
            mend="keep a copy; `cardmint-edge outbox export`",
        )
    return CheckResult(
        part="outbox", health="well", says=f"sound, {waiting} events wait to be sent"
    )


def _disk(settings: EdgeSettings) -> CheckResult:
    folder = next(
        path for path in (settings.station.data, *settings.station.data.parents) if path.exists()
    )
    free = shutil.disk_usage(folder).free
    says = f"{free / 1e9:.1f} GB free"
    if free < LEAST_FREE_BYTES:
        return CheckResult(
            part="disk",
            health="look",
            says=says,
            mend="make room; images are given up to keep counting",
        )
    return CheckResult(part="disk", health="well", says=says)


def _clock() -> CheckResult:
    if StationClock()().clock_synced:
        return CheckResult(
            part="clock",
            health="well",
            says=f"set by the network; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        )
    mend = "let the box reach a time server (systemd-timesyncd or chrony); cards are dated later until then"
    return CheckResult(part="clock", health="look", says="not set by the network", mend=mend)


def _pack(settings: EdgeSettings) -> CheckResult:
    try:
        with closing(Pack(settings.recognition.pack)) as pack:
            return CheckResult(part="pack", health="well", says=f"version {pack.version}")
    except Stop as error:
        return CheckResult(
            part="pack", health="ill", says=str(error), mend="name a whole pack in recognition.pack"
        )


def _models() -> CheckResult:
    whole, broken = [], []
    for name, model in (
        ("corners", CardFinder),
        ("reader", TextReader),
        ("embedding", PictureEmbedder),
    ):
        try:
            whole.append(f"{name} {model().version}")
        except ModelUnusable as error:
            broken.append(str(error))
    if broken:
        mend = "install the agent again; until then the classical method does their work, and asks more often"
        return CheckResult(part="models", health="look", says="; ".join(broken), mend=mend)
    return CheckResult(part="models", health="well", says=", ".join(whole))


def _camera(make: Callable[[], Camera]) -> CheckResult:
    try:
        with closing(make()) as camera:
            camera.next(1.0)
    except Park:
        pass
    except EdgeError as error:
        says, _, mend = str(error).partition("; ")
        return CheckResult(part="camera", health="ill", says=says, mend=mend)
    return CheckResult(part="camera", health="well", says="it answers")


def _broker(broker: BrokerSettings) -> Iterator[CheckResult]:
    where = f"{broker.host}:{broker.port}"
    try:
        with socket.create_connection((broker.host, broker.port), timeout=TIMEOUT_S) as plain:
            if not broker.tls:
                yield CheckResult(
                    part="broker", health="well", says=f"{where} takes connections, without TLS"
                )
                return
            context = ssl.create_default_context(
                cafile=str(broker.ca_file) if broker.ca_file else None
            )
            if broker.cert_file is not None:
                context.load_cert_chain(broker.cert_file, broker.key_file)
            with context.wrap_socket(plain, server_hostname=broker.host) as end:
                theirs = x509.load_der_x509_certificate(end.getpeercert(binary_form=True) or b"")
    except ssl.SSLCertVerificationError as error:
        mend = "check broker.ca_file, the broker's name in its certificate, and the clock"
        yield CheckResult(
            part="broker", health="ill", says=f"{where}: {error.verify_message}", mend=mend
        )
        return
    except (OSError, ValueError) as error:
        mend = "check broker.host and port, the cable, and that the broker runs; counting goes on without it"
        yield CheckResult(part="broker", health="look", says=f"{where}: {error}", mend=mend)
        return
    yield CheckResult(part="broker", health="well", says=f"{where} takes connections, with TLS")
    yield _certificate("broker's certificate", theirs)
    if broker.cert_file is not None:
        yield _certificate(
            "own certificate", x509.load_pem_x509_certificate(broker.cert_file.read_bytes())
        )


def _certificate(part: str, certificate: x509.Certificate) -> CheckResult:
    left = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    says = f"valid until {certificate.not_valid_after_utc:%Y-%m-%d}"
    if left < 0:
        return CheckResult(part=part, health="ill", says=f"{says}: over", mend="issue a new one")
    if left < SOON_DAYS:
        return CheckResult(
            part=part, health="look", says=f"{says}: {left} days", mend="issue a new one in time"
        )
    return CheckResult(part=part, health="well", says=says)


def _cloud(settings: EdgeSettings) -> CheckResult:
    url = settings.cloud.url
    if not url:
        return CheckResult(part="cloud", health="well", says="no cloud.url: images stay here")
    began = time.perf_counter()
    try:
        status = httpx.get(url, timeout=TIMEOUT_S, follow_redirects=True).status_code
    except httpx.HTTPError as error:
        mend = "check cloud.url and the network; images wait, counting goes on"
        return CheckResult(part="cloud", health="look", says=f"{url}: {error}", mend=mend)
    return CheckResult(
        part="cloud",
        health="well",
        says=f"{url} answers {status} in {(time.perf_counter() - began) * 1000:.0f} ms",
    )
