"""The page's routes that read, and the page as a whole."""

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
from cardmint_edge.page.actions import station_routes, task_routes
from cardmint_edge.page.forms import task_version
from cardmint_edge.page.photos import phone_routes
from cardmint_edge.page.ports import PagePorts
from cardmint_edge.page.views import PageRenderer, StationView, html

WAIT_FOR_CHANGE_S = 0.5
"""Seconds that a request for the live part waits for a change.

A change outside the database, such as the connection's state, shows with the next request.
"""

MIN_INTERVAL_S = 0.02
"""Seconds between two renderings of the live part, at least: each takes some milliseconds."""

_STATIC = {
    "htmx.js": ("django_htmx", "static/django_htmx/htmx-2.min.js", "text/javascript"),
    "page.js": ("cardmint_edge.page", "static/page.js", "text/javascript"),
    "phone.js": ("cardmint_edge.page", "static/phone.js", "text/javascript"),
    "sha256.js": ("cardmint_edge.page", "static/sha256.js", "text/javascript"),
    "page.css": ("cardmint_edge.page", "static/page.css", "text/css"),
    "icon.svg": ("cardmint_edge.page", "static/icon.svg", "image/svg+xml"),
}


_NO_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 134"><rect x="2" y="2" width="92"'
    ' height="130" rx="6" fill="none" stroke="#8a978f" stroke-width="2" stroke-dasharray="6 5"/>'
    "</svg>"
)
"""The outline of a card, for a printing without a picture."""


class LastScan(msgspec.Struct, frozen=True, kw_only=True):
    """The last scan in `GET /state`."""

    position: int
    scan: UUID
    decision: str
    card: str | None


class PageState(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /state`: the station's state, for other programs on this machine."""

    stream: UUID
    queued: int
    acknowledged: int
    connected: bool
    link: str
    fault: str
    problems: list[str]
    scanned: int
    parked: int
    open_tasks: int
    images_waiting: int
    last_scan: LastScan | None


def static(request: Request) -> Response:
    """Serve one of the page's own files, or htmx from its package."""
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404, "no such file")
    package, path, media_type = _STATIC[name]
    return Response(files(package).joinpath(path).read_bytes(), media_type=media_type)


def make_page(ports: PagePorts) -> guard.GuardedPage:
    """Return the page as an ASGI application."""
    renderer = PageRenderer(
        ports.station,
        dashboard=ports.dashboard,
        phone_address=ports.phone.address,
        can_capture=ports.can_capture,
    )
    access = guard.AccessControl(ports.pin)
    routes = [
        *_read_routes(ports, renderer),
        *task_routes(ports, renderer),
        *station_routes(ports, renderer),
        *phone_routes(ports.phone, renderer),
        Route("/static/{name}", static),
        *access.routes(renderer),
    ]
    return guard.GuardedPage(Router(routes, redirect_slashes=False), access)


def _read_routes(ports: PagePorts, renderer: PageRenderer) -> list[Route]:
    def show(request: Request) -> Response:
        return html(
            renderer.page(
                ports.view(""), ports.defaults(), request.query_params.get("saved") == "true"
            )
        )

    def live(request: Request) -> Response:
        return _changed_live_part(ports, renderer, request.query_params.get("have", ""))

    def search(request: Request) -> Response:
        version = task_version(request.query_params.get("version", ""))
        query = request.query_params.get("q", "")
        return html(
            renderer.search_results(
                request.path_params["task"], version, query, ports.search(query)
            )
        )

    def state(_: Request) -> Response:
        return Response(msgspec.json.encode(_state(ports.view(""))), media_type="application/json")

    def metrics(_: Request) -> Response:
        return Response(ports.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def camera(_: Request) -> Response:
        jpeg = ports.preview()
        if jpeg is None:
            raise HTTPException(404, "the camera has no preview")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "no-store"})

    def image(request: Request) -> Response:
        jpeg = ports.images.thumbnail(request.path_params["digest"])
        if jpeg is None:
            raise HTTPException(404, "the station does not have this image")
        return Response(
            jpeg, media_type="image/jpeg", headers={"cache-control": "max-age=31536000, immutable"}
        )

    def card(request: Request) -> Response:
        jpeg = ports.card_picture(request.path_params["card"])
        headers = {"cache-control": "max-age=3600"}
        if jpeg is None:
            return Response(_NO_PICTURE, media_type="image/svg+xml", headers=headers)
        return Response(jpeg, media_type="image/jpeg", headers=headers)

    return [
        Route("/", show),
        Route("/live", live),
        Route("/tasks/{task:uuid}/search", search),
        Route("/state", state),
        Route("/metrics", metrics),
        Route("/camera.jpg", camera),
        Route("/images/{digest}", image),
        Route("/cards/{card}.jpg", card),
    ]


def _changed_live_part(ports: PagePorts, renderer: PageRenderer, have: str) -> Response:
    """Return the live part once its digest is not `have`; nothing after `WAIT_FOR_CHANGE_S`."""
    ends = time.monotonic() + WAIT_FOR_CHANGE_S
    while True:
        commits = ports.wait_for_commits(0, 0.0)
        content, digest = renderer.live(ports.view(""))
        if digest != have:
            return html(content)
        time.sleep(MIN_INTERVAL_S)
        left_s = ends - time.monotonic()
        if left_s <= 0:
            return Response(status_code=204)
        ports.wait_for_commits(commits, left_s)


def _state(view: StationView) -> PageState:
    return PageState(
        stream=view.status.stream,
        queued=view.status.queued,
        acknowledged=view.status.acknowledged,
        connected=view.connected,
        link=view.link,
        fault=view.fault,
        problems=list(view.problems),
        scanned=view.status.scanned,
        parked=view.status.parked,
        open_tasks=view.open_tasks,
        images_waiting=view.status.images_waiting,
        last_scan=_last_scan(view.scans[0]) if view.scans else None,
    )


def _last_scan(record: ScanRecord) -> LastScan:
    card = record.scan.card
    return LastScan(
        position=record.position,
        scan=record.scan.scan,
        decision=record.scan.decision.value,
        card=card.id if card else None,
    )
