"""What the operator does on the page.

Answer, skip, take back, capture, set the defaults, pause the uploads.
"""

from collections.abc import Callable
from uuid import UUID

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cardmint_contracts.cards import ScanDefaults
from cardmint_contracts.wire import convert
from cardmint_edge.page.forms import Form, posting
from cardmint_edge.page.ports import PagePorts
from cardmint_edge.page.views import PageRenderer, html
from cardmint_edge.review_tasks import AnswerResult

OPERATOR = "station"
"""Who answered: whoever stands at the station."""

_NOTICES = {
    AnswerResult.TAKEN: "",
    AnswerResult.GONE: "Somebody else answered that one first.",
    AnswerResult.CHANGED: "That question changed meanwhile; please look again.",
    AnswerResult.UNKNOWN_CARD: "That card is not in this station's catalogue.",
}


def _shown(parts: PagePorts, pages: PageRenderer) -> Callable[..., Response]:
    def shown(request: Request, notice: str = "") -> Response:
        if "hx-request" not in request.headers:
            return RedirectResponse("/", 303)
        return html(pages.live(parts.view(notice))[0])

    return shown


def _task(request: Request) -> UUID:
    task: UUID = request.path_params["task"]
    return task


def answering(parts: PagePorts, pages: PageRenderer) -> list[Route]:
    """Return the routes of the review tasks."""
    shown = _shown(parts, pages)

    def answer(request: Request, form: Form) -> Response:
        if not form.get("version", "").isdecimal() or "card" not in form:
            raise HTTPException(400, "an answer has a version and a card")
        answered = parts.answers.answer(
            _task(request), int(form["version"]), form["card"] or None, OPERATOR
        )
        return shown(request, _NOTICES[answered])

    def skip(request: Request, _: Form) -> Response:
        parts.skip(_task(request))
        return shown(request)

    def undo(request: Request, _: Form) -> Response:
        return shown(request, _NOTICES[parts.answers.undo(_task(request), OPERATOR)])

    def dismiss(request: Request, _: Form) -> Response:
        parts.answers.dismiss(_task(request))
        return shown(request)

    def scan(request: Request, _: Form) -> Response:
        return shown(request, _NOTICES[parts.answers.scan_next(_task(request))])

    return [
        posting("/tasks/{task:uuid}", answer),
        posting("/tasks/{task:uuid}/skip", skip),
        posting("/tasks/{task:uuid}/undo", undo),
        posting("/tasks/{task:uuid}/dismiss", dismiss),
        posting("/tasks/{task:uuid}/scan", scan),
    ]


def scanning(parts: PagePorts, pages: PageRenderer) -> list[Route]:
    """Return the routes of scans, the defaults and the uploads."""
    shown = _shown(parts, pages)

    def withdraw(request: Request, _: Form) -> Response:
        done = parts.withdraw(request.path_params["scan"])
        return shown(request, "" if done else "That scan was taken back before.")

    def again(request: Request, _: Form) -> Response:
        if not parts.capture():
            return shown(
                request,
                "This camera takes cards as they come: take the scan back, and lay the card again.",
            )
        parts.withdraw(request.path_params["scan"])
        return shown(request)

    def capture(request: Request, _: Form) -> Response:
        taken = parts.capture()
        return shown(request, "" if taken else "This camera takes cards as they come.")

    def uploads(request: Request, form: Form) -> Response:
        parts.pause_uploads(form.get("paused") == "yes")
        return shown(request)

    def defaults(_: Request, form: Form) -> Response:
        try:
            parts.set_defaults(
                convert({key: value for key, value in form.items() if value}, ScanDefaults)
            )
        except msgspec.ValidationError as error:
            raise HTTPException(400, str(error)) from error
        return RedirectResponse("/?saved=true", 303)

    return [
        posting("/scans/{scan:uuid}/withdraw", withdraw),
        posting("/scans/{scan:uuid}/again", again),
        posting("/capture", capture),
        posting("/uploads", uploads),
        posting("/defaults", defaults),
    ]
