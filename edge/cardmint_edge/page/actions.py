"""The page's routes for the operator's actions: answers, scans, defaults, uploads."""

from collections.abc import Callable
from uuid import UUID

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cardmint_contracts.cards import Edition, Finish, ScanDefaults
from cardmint_contracts.wire import convert
from cardmint_edge.page.forms import (
    Form,
    answered_language,
    answered_variant,
    form_route,
    task_version,
)
from cardmint_edge.page.ports import PagePorts
from cardmint_edge.page.views import PageRenderer, html
from cardmint_edge.review_tasks import AnswerResult

OPERATOR = "station"
"""The name under which the operator's answers are stored."""

_NOTICES = {
    AnswerResult.TAKEN: "",
    AnswerResult.GONE: "Somebody else answered this question first.",
    AnswerResult.CHANGED: "This question has changed; please read it again.",
    AnswerResult.UNKNOWN_CARD: "This station's catalogue does not have that card.",
}

_NOT_REJECTED = "This scan is not one of those without a card."
_FILE_GONE = "This file is no longer there."


def _page_responder(ports: PagePorts, renderer: PageRenderer) -> Callable[..., Response]:
    """Return a function that answers an action: with the updated page, and a notice if any."""

    def respond(request: Request, notice: str = "") -> Response:
        if "hx-request" not in request.headers:
            return RedirectResponse("/", 303)
        return html(renderer.live(ports.view(notice))[0])

    return respond


def _task(request: Request) -> UUID:
    task: UUID = request.path_params["task"]
    return task


def task_routes(ports: PagePorts, renderer: PageRenderer) -> list[Route]:
    """Return the routes of the review tasks, and of what is asked about besides."""
    respond = _page_responder(ports, renderer)

    def answer(request: Request, form: Form) -> Response:
        version = task_version(form.get("version", ""))
        if "card" not in form:
            raise HTTPException(400, "an answer needs the field card")
        card, _, language = form["card"].partition(":")
        language = language or form.get("language", "")
        result = ports.answers.answer(
            _task(request),
            version,
            card or None,
            OPERATOR,
            answered_language(language),
            finish=answered_variant(form.get("finish", ""), Finish),
            edition=answered_variant(form.get("edition", ""), Edition),
        )
        return respond(request, _NOTICES[result])

    def skip(request: Request, _: Form) -> Response:
        ports.skip(_task(request))
        return respond(request)

    def undo(request: Request, _: Form) -> Response:
        return respond(request, _NOTICES[ports.answers.undo(_task(request), OPERATOR)])

    def dismiss(request: Request, _: Form) -> Response:
        ports.answers.dismiss(_task(request))
        return respond(request)

    def take_back(request: Request, _: Form) -> Response:
        result = ports.answers.take_back(_task(request), OPERATOR)
        gone = "This answer can no longer be taken back here; the dashboard can."
        return respond(request, gone if result is AnswerResult.GONE else "")

    def copies(request: Request, _: Form) -> Response:
        counted = ports.answers.count_copies(OPERATOR)
        return respond(request, f"{counted} copies are counted." if counted else "")

    def scan(request: Request, _: Form) -> Response:
        return respond(request, _NOTICES[ports.answers.scan_next(_task(request))])

    def is_card(request: Request, _: Form) -> Response:
        done = ports.object_to(request.path_params["scan"])
        return respond(
            request,
            "The question which card it is comes in a moment." if done else _NOT_REJECTED,
        )

    return [
        form_route("/tasks/{task:uuid}", answer),
        form_route("/tasks/{task:uuid}/skip", skip),
        form_route("/tasks/{task:uuid}/undo", undo),
        form_route("/tasks/{task:uuid}/dismiss", dismiss),
        form_route("/tasks/{task:uuid}/scan", scan),
        form_route("/tasks/{task:uuid}/take-back", take_back),
        form_route("/copies", copies),
        form_route("/scans/{scan:uuid}/is-card", is_card),
    ]


def station_routes(ports: PagePorts, renderer: PageRenderer) -> list[Route]:
    """Return the routes of scans, defaults and uploads."""
    respond = _page_responder(ports, renderer)

    def withdraw(request: Request, _: Form) -> Response:
        done = ports.withdraw(request.path_params["scan"])
        return respond(request, "" if done else "This scan was taken back before.")

    def again(request: Request, _: Form) -> Response:
        if not ports.capture():
            return respond(
                request,
                "This camera takes no photo on command:"
                " take the scan back, and lay the card again.",
            )
        ports.withdraw(request.path_params["scan"])
        return respond(request)

    def capture(request: Request, _: Form) -> Response:
        taken = ports.capture()
        return respond(request, "" if taken else "This camera takes no photo on command.")

    def uploads(request: Request, form: Form) -> Response:
        ports.pause_uploads(form.get("paused") == "yes")
        return respond(request)

    def stack(request: Request, form: Form) -> Response:
        ports.set_stack(form.get("stack") == "yes")
        return respond(request)

    def retry_file(request: Request, _: Form) -> Response:
        done = ports.retry_file(request.path_params["key"])
        return respond(request, "" if done else _FILE_GONE)

    def dismiss_file(request: Request, _: Form) -> Response:
        done = ports.dismiss_file(request.path_params["key"])
        return respond(request, "" if done else _FILE_GONE)

    def defaults(request: Request, form: Form) -> Response:
        try:
            ports.set_defaults(
                convert({key: value for key, value in form.items() if value}, ScanDefaults)
            )
        except msgspec.ValidationError as error:
            raise HTTPException(400, str(error)) from error
        if "hx-request" in request.headers:
            return html('<span class="good">In use.</span>')
        return RedirectResponse("/?saved=true", 303)

    return [
        form_route("/scans/{scan:uuid}/withdraw", withdraw),
        form_route("/scans/{scan:uuid}/again", again),
        form_route("/capture", capture),
        form_route("/uploads", uploads),
        form_route("/stack", stack),
        form_route("/defaults", defaults),
        form_route("/files/{key}/retry", retry_file),
        form_route("/files/{key}/dismiss", dismiss_file),
    ]
