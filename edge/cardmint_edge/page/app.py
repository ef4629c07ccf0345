"""The page's routes. It reads and answers; it decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any, Protocol
from uuid import UUID

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.enums import MediaType, RequestEncodingType
from litestar.exceptions import NotFoundException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body, FromPath, FromQuery
from litestar.response import Redirect
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from cardmint_contracts.cards import Batch, CardId
from cardmint_edge.adapters.outbox import ScanLine
from cardmint_edge.page import guard
from cardmint_edge.page.show import Pages, View
from cardmint_edge.tasks import Answered

OPERATOR = "station"
"""Who answered, as long as the page asks nobody who they are."""

Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]

_STATIC = {
    "htmx.js": ("django_htmx", "static/django_htmx/htmx-2.min.js", "text/javascript"),
    "page.js": ("cardmint_edge.page", "static/page.js", "text/javascript"),
    "page.css": ("cardmint_edge.page", "static/page.css", "text/css"),
    "icon.svg": ("cardmint_edge.page", "static/icon.svg", "image/svg+xml"),
}
_NOTICES = {
    Answered.TAKEN: "",
    Answered.GONE: "Somebody else answered that one first.",
    Answered.CHANGED: "That question changed meanwhile; please look again.",
    Answered.NOT_A_CANDIDATE: "That card was not among the candidates.",
}


class Images(Protocol):
    """Has the images' bytes."""

    def thumbnail(self, digest: str) -> bytes | None:
        """Return an image's bytes, or those of what is left of it; None when nothing is."""
        ...


class Answers(Protocol):
    """Takes answers to tasks."""

    def answer(self, task: UUID, version: int, card: CardId | None, by: str) -> Answered:
        """Take a person's answer."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What the page shows and changes. `view` takes a notice for the operator."""

    station: str
    view: Callable[[str], View]
    images: Images
    answers: Answers
    batch: Callable[[], Batch]
    set_batch: Callable[[Batch], None]


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


def _html(content: str) -> Response[str]:
    return Response(content, media_type=MediaType.HTML, status_code=HTTP_200_OK)


def make_page(parts: Parts) -> Litestar:
    """Return the page as an ASGI application."""
    pages = Pages(parts.station)
    return Litestar(
        [*_reading(parts, pages), *_answering(parts, pages), static],
        before_request=guard.check,
        response_headers=guard.HEADERS,
        openapi_config=None,
        logging_config=None,
    )


def _reading(parts: Parts, pages: Pages) -> list[HTTPRouteHandler]:
    @get("/", sync_to_thread=True)
    def show(saved: FromQuery[bool] = False) -> Response[str]:
        return _html(pages.page(parts.view(""), parts.batch(), saved))

    @get("/live", sync_to_thread=True)
    def live(have: FromQuery[str] = "") -> Response[str]:
        content, digest = pages.live(parts.view(""))
        if digest == have:
            return Response("", status_code=HTTP_204_NO_CONTENT)
        return _html(content)

    @get("/state", sync_to_thread=True)
    def state() -> State:
        return _state(parts.view(""))

    @get("/images/{digest:str}", sync_to_thread=True)
    def image(digest: FromPath[str]) -> Response[bytes]:
        jpeg = parts.images.thumbnail(digest)
        if jpeg is None:
            raise NotFoundException(detail="the station has no such image")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "max-age=31536000, immutable"})

    return [show, live, state, image]


def _answering(parts: Parts, pages: Pages) -> list[HTTPRouteHandler]:
    @post("/tasks/{task:uuid}", sync_to_thread=True)
    def answer(task: FromPath[UUID], data: Form, request: Request[Any, Any, Any]) -> Response[str] | Redirect:
        if not data.get("version", "").isdecimal() or "card" not in data:
            raise ValidationException(detail="an answer has a version and a card")
        answered = parts.answers.answer(task, int(data["version"]), data["card"] or None, OPERATOR)
        if "hx-request" not in request.headers:
            return Redirect("/", status_code=303)
        return _html(pages.live(parts.view(_NOTICES[answered]))[0])

    @post("/batch", sync_to_thread=True)
    def batch(data: Form) -> Redirect:
        try:
            parts.set_batch(msgspec.convert({key: value for key, value in data.items() if value}, Batch))
        except msgspec.ValidationError as error:
            raise ValidationException(detail=str(error)) from error
        return Redirect("/?saved=true", status_code=303)

    return [answer, batch]


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
