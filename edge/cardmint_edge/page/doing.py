"""What the operator does on the page: answer, skip, take back, capture, set the batch, pause the uploads."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, post
from litestar.enums import RequestEncodingType
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body, FromPath
from litestar.response import Redirect

from cardmint_contracts.cards import Batch
from cardmint_contracts.wire import convert
from cardmint_edge.page.parts import Parts
from cardmint_edge.page.show import Pages, html
from cardmint_edge.tasks import Answered

OPERATOR = "station"
"""Who answered: whoever stands at the station."""

Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
Asked = Request[Any, Any, Any]
Shown = Response[str] | Redirect

_NOTICES = {
    Answered.TAKEN: "",
    Answered.GONE: "Somebody else answered that one first.",
    Answered.CHANGED: "That question changed meanwhile; please look again.",
    Answered.UNKNOWN_CARD: "That card is not in this station's catalogue.",
}


def _shown(parts: Parts, pages: Pages) -> Callable[..., Shown]:
    def shown(request: Asked, notice: str = "") -> Shown:
        if "hx-request" not in request.headers:
            return Redirect("/", status_code=303)
        return html(pages.live(parts.view(notice))[0])

    return shown


def answering(parts: Parts, pages: Pages) -> list[HTTPRouteHandler]:
    """Return the routes of the review tasks."""
    shown = _shown(parts, pages)

    @post("/tasks/{task:uuid}", sync_to_thread=True)
    def answer(task: FromPath[UUID], data: Form, request: Asked) -> Shown:
        if not data.get("version", "").isdecimal() or "card" not in data:
            raise ValidationException(detail="an answer has a version and a card")
        answered = parts.answers.answer(task, int(data["version"]), data["card"] or None, OPERATOR)
        return shown(request, _NOTICES[answered])

    @post("/tasks/{task:uuid}/skip", sync_to_thread=True)
    def skip(task: FromPath[UUID], request: Asked) -> Shown:
        parts.skip(task)
        return shown(request)

    @post("/tasks/{task:uuid}/undo", sync_to_thread=True)
    def undo(task: FromPath[UUID], request: Asked) -> Shown:
        return shown(request, _NOTICES[parts.answers.undo(task, OPERATOR)])

    @post("/tasks/{task:uuid}/seen", sync_to_thread=True)
    def seen(task: FromPath[UUID], request: Asked) -> Shown:
        parts.answers.seen(task)
        return shown(request)

    @post("/tasks/{task:uuid}/scan", sync_to_thread=True)
    def scan(task: FromPath[UUID], request: Asked) -> Shown:
        return shown(request, _NOTICES[parts.answers.scan_next(task)])

    return [answer, skip, undo, seen, scan]


def scanning(parts: Parts, pages: Pages) -> list[HTTPRouteHandler]:
    """Return the routes of scans, the batch and the uploads."""
    shown = _shown(parts, pages)

    @post("/scans/{scan:uuid}/withdraw", sync_to_thread=True)
    def withdraw(scan: FromPath[UUID], request: Asked) -> Shown:
        done = parts.withdraw(scan)
        return shown(request, "" if done else "That scan was taken back before.")

    @post("/scans/{scan:uuid}/again", sync_to_thread=True)
    def again(scan: FromPath[UUID], request: Asked) -> Shown:
        if not parts.capture():
            return shown(request, "This camera takes cards as they come: take the scan back, and lay the card again.")
        parts.withdraw(scan)
        return shown(request)

    @post("/capture", sync_to_thread=True)
    def capture(request: Asked) -> Shown:
        taken = parts.capture()
        return shown(request, "" if taken else "This camera takes cards as they come.")

    @post("/uploads", sync_to_thread=True)
    def uploads(data: Form, request: Asked) -> Shown:
        parts.pause_uploads(data.get("paused") == "yes")
        return shown(request)

    @post("/batch", sync_to_thread=True)
    def batch(data: Form) -> Redirect:
        try:
            parts.set_batch(convert({key: value for key, value in data.items() if value}, Batch))
        except msgspec.ValidationError as error:
            raise ValidationException(detail=str(error)) from error
        return Redirect("/?saved=true", status_code=303)

    return [withdraw, again, capture, uploads, batch]
