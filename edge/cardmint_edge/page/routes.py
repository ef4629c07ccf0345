"""The page's routes that read, and the whole. It decides nothing."""

import time
from importlib.resources import files
from uuid import UUID

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.page import guard
from cardmint_edge.page.actions import answering, scanning
from cardmint_edge.page.ports import PagePorts
from cardmint_edge.page.views import PageRenderer, StationView, html

PATIENCE_S = 0.5
"""How long the page waits for something to show before it asks again.

What is not in the database is seen then.
"""

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


class PageState(msgspec.Struct, frozen=True, kw_only=True):
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


def static(request: Request) -> Response:
    """Serve one of the page's own files, or htmx out of its package."""
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404, "no such file")
    package, path, media_type = _STATIC[name]
    return Response(files(package).joinpath(path).read_bytes(), media_type=media_type)


def make_page(parts: PagePorts) -> guard.GuardedPage:
    """Return the page as an ASGI application."""
    pages = PageRenderer(parts.station)
    door = guard.AccessControl(parts.pin)
    routes = [
        *_reading(parts, pages),
        *answering(parts, pages),
        *scanning(parts, pages),
        Route("/static/{name}", static),
        *door.routes(pages),
    ]
    return guard.GuardedPage(Router(routes, redirect_slashes=False), door)


def _reading(parts: PagePorts, pages: PageRenderer) -> list[Route]:
    def show(request: Request) -> Response:
        return html(
            pages.page(
                parts.view(""), parts.defaults(), request.query_params.get("saved") == "true"
            )
        )

    def live(request: Request) -> Response:
        return _news(parts, pages, request.query_params.get("have", ""))

    def search(request: Request) -> Response:
        version, query = request.query_params.get("version", ""), request.query_params.get("q", "")
        if not version.isdecimal():
            raise HTTPException(400, "a search is for a version of a task")
        return html(
            pages.found(request.path_params["task"], int(version), query, parts.search(query))
        )

    def state(_: Request) -> Response:
        return Response(msgspec.json.encode(_state(parts.view(""))), media_type="application/json")

    def metrics(_: Request) -> Response:
        return Response(parts.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def camera(_: Request) -> Response:
        jpeg = parts.live()
        if jpeg is None:
            raise HTTPException(404, "the camera shows nothing until it takes a photo")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "no-store"})

    def image(request: Request) -> Response:
        jpeg = parts.images.thumbnail(request.path_params["digest"])
        if jpeg is None:
            raise HTTPException(404, "the station has no such image")
        return Response(
            jpeg, media_type="image/jpeg", headers={"cache-control": "max-age=31536000, immutable"}
        )

    return [
        Route("/", show),
        Route("/live", live),
        Route("/tasks/{task:uuid}/search", search),
        Route("/state", state),
        Route("/metrics", metrics),
        Route("/camera.jpg", camera),
        Route("/images/{digest}", image),
    ]


def _news(parts: PagePorts, pages: PageRenderer, have: str) -> Response:
    """Return the live part as soon as it is not what the page has.

    Nothing when it stays so for `PATIENCE_S`.
    """
    ends = time.monotonic() + PATIENCE_S
    while True:
        commits = parts.commits(0, 0.0)
        content, digest = pages.live(parts.view(""))
        if digest != have:
            return html(content)
        time.sleep(A_BREATH_S)
        patience = ends - time.monotonic()
        if patience <= 0:
            return Response(status_code=204)
        parts.commits(commits, patience)


def _state(view: StationView) -> PageState:
    return PageState(
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


def _last(line: ScanRecord) -> LastScan:
    card = line.scan.card
    return LastScan(
        position=line.position,
        scan=line.scan.scan,
        decision=line.scan.decision.value,
        card=card.id if card else None,
    )
