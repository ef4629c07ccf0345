"""The page's routes that read, and the whole. It decides nothing."""

import time
from importlib.resources import files
from uuid import UUID

import msgspec
from litestar import Litestar, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.status_codes import HTTP_204_NO_CONTENT

from cardmint_edge.adapters.outbox import ScanLine
from cardmint_edge.page import guard
from cardmint_edge.page.doing import answering, scanning
from cardmint_edge.page.parts import Parts
from cardmint_edge.page.show import Pages, View, html

PATIENCE_S = 0.5
"""How long the page waits for something to show before it asks again: what is not in the database is seen then."""

A_BREATH_S = 0.02
"""So long nobody looks again, however much is written: a look costs some milliseconds."""

_STATIC = {
    "htmx.js": ("django_htmx", "static/django_htmx/htmx-2.min.js", "text/javascript"),
    "page.js": ("cardmint_edge.page", "static/page.js", "text/javascript"),
    "page.css": ("cardmint_edge.page", "static/page.css", "text/css"),
    "icon.svg": ("cardmint_edge.page", "static/icon.svg", "image/svg+xml"),
}


class LastScan(msgspec.Struct, frozen=True, kw_only=True):
    """The last scan, in short."""

    position: int
    scan: UUID
    decision: str
    card: str | None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /state`: the station for other programs on this machine."""

    stream: UUID
    queued: int
    acknowledged: int
    connected: bool
    link: str
    fault: str
    scanned: int
    parked: int
    open_tasks: int
    images_waiting: int
    last_scan: LastScan | None


@get("/static/{name:str}", sync_to_thread=True)
def static(name: FromPath[str]) -> Response[bytes]:
    """Serve one of the page's own files, or htmx out of its package."""
    if name not in _STATIC:
        raise NotFoundException(detail="no such file")
    package, path, media_type = _STATIC[name]
    return Response(files(package).joinpath(path).read_bytes(), media_type=media_type)


def make_page(parts: Parts) -> Litestar:
    """Return the page as an ASGI application."""
    pages = Pages(parts.station)
    door = guard.Door(parts.pin)
    return Litestar(
        [*_reading(parts, pages), *answering(parts, pages), *scanning(parts, pages), static, *door.routes(pages)],
        before_request=door.check,
        response_headers=guard.HEADERS,
        openapi_config=None,
        logging_config=None,
    )


def _reading(parts: Parts, pages: Pages) -> list[HTTPRouteHandler]:
    @get("/", sync_to_thread=True)
    def show(saved: FromQuery[bool] = False) -> Response[str]:
        return html(pages.page(parts.view(""), parts.batch(), saved))

    @get("/live", sync_to_thread=True)
    def live(have: FromQuery[str] = "") -> Response[str]:
        return _news(parts, pages, have)

    @get("/tasks/{task:uuid}/search", sync_to_thread=True)
    def search(task: FromPath[UUID], version: FromQuery[int], q: FromQuery[str] = "") -> Response[str]:
        return html(pages.found(task, version, q, parts.search(q)))

    @get("/state", sync_to_thread=True)
    def state() -> State:
        return _state(parts.view(""))

    @get("/metrics", sync_to_thread=True)
    def metrics() -> Response[bytes]:
        return Response(parts.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @get("/camera.jpg", sync_to_thread=True)
    def camera() -> Response[bytes]:
        jpeg = parts.live()
        if jpeg is None:
            raise NotFoundException(detail="the camera shows nothing until it takes a photo")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "no-store"})

    @get("/images/{digest:str}", sync_to_thread=True)
    def image(digest: FromPath[str]) -> Response[bytes]:
        jpeg = parts.images.thumbnail(digest)
        if jpeg is None:
            raise NotFoundException(detail="the station has no such image")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "max-age=31536000, immutable"})

    return [show, live, search, state, metrics, camera, image]


def _news(parts: Parts, pages: Pages, have: str) -> Response[str]:
    """Return the live part as soon as it is not what the page has; nothing when it stays so for `PATIENCE_S`."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        commits = parts.commits(0, 0.0)
        content, digest = pages.live(parts.view(""))
        if digest != have:
            return html(content)
        time.sleep(A_BREATH_S)
        patience = ends - time.monotonic()
        if patience <= 0:
            return Response("", status_code=HTTP_204_NO_CONTENT)
        parts.commits(commits, patience)


def _state(view: View) -> State:
    return State(
        stream=view.status.stream,
        queued=view.status.queued,
        acknowledged=view.status.acknowledged,
        connected=view.connected,
        link=view.link,
        fault=view.fault,
        scanned=view.status.scanned,
        parked=view.status.parked,
        open_tasks=view.open_tasks,
        images_waiting=view.status.images_waiting,
        last_scan=_last(view.scans[0]) if view.scans else None,
    )


def _last(line: ScanLine) -> LastScan:
    card = line.scan.card
    return LastScan(
        position=line.position,
        scan=line.scan.scan,
        decision=line.scan.decision.value,
        card=card.id if card else None,
    )
