"""The page for phones: photos come in pieces, and each photo's outcome goes back."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from urllib.parse import unquote

import msgspec
import segno
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cardmint_edge.adapters.photo_inbox import MAX_PIECE_BYTES, PhotoRefused
from cardmint_edge.page.forms import Form, form_route
from cardmint_edge.page.views import PageRenderer, html

MAX_ASKED = 500
"""Photos whose outcome one request may ask for."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_NUMBER = re.compile(r"[0-9]{1,12}\Z")


class PhotoOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a photo, as a word and as `text` for a person.

    The word is `unknown`, `part` (of which `offset` bytes have come), `waiting`, `parked`, or a
    kind of scan: `counted`, `asked`, `none`, `withdrawn`.
    """

    state: str
    offset: int = 0
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhonePorts:
    """The calls of the page for phones.

    `add_piece` takes SHA-256, name, length, offset and bytes of a piece, returns how many bytes
    have come, and raises PhotoRefused. `outcomes` says what became of each photo. `address` is the
    page's own for phones; empty if only this machine reaches it.
    """

    add_piece: Callable[[str, str, int, int, bytes], int]
    outcomes: Callable[[Sequence[str]], Mapping[str, PhotoOutcome]]
    address: str = ""


def phone_routes(ports: PhonePorts, renderer: PageRenderer) -> list[Route]:
    """Return the routes of the page for phones."""

    def show(_: Request) -> Response:
        return html(renderer.phone())

    def code(_: Request) -> Response:
        if not ports.address:
            raise HTTPException(404, "no other machine reaches this page")
        return Response(qr_code(ports.address), media_type="image/svg+xml")

    def outcomes(_: Request, form: Form) -> Response:
        asked = [name for name in form.get("photos", "").split(",") if name]
        if len(asked) > MAX_ASKED or not all(_SHA256.match(name) for name in asked):
            raise HTTPException(400, f"photos: up to {MAX_ASKED} SHA-256, with commas between them")
        return _json(ports.outcomes(asked))

    async def piece(request: Request) -> Response:
        offset, length = _header(request, "upload-offset"), _header(request, "upload-length")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_PIECE_BYTES:
                raise HTTPException(413, f"a piece has at most {MAX_PIECE_BYTES >> 10} kB")
        sha256 = request.path_params["sha256"]
        if not _SHA256.match(sha256):
            raise HTTPException(400, "a photo is named by its SHA-256")
        name = unquote(request.headers.get("upload-name", ""))
        try:
            has = await run_in_threadpool(
                ports.add_piece, sha256, name, length, offset, bytes(body)
            )
        except PhotoRefused as refused:
            return _json({"detail": str(refused), "offset": refused.offset}, refused.status)
        return _json({"offset": has})

    return [
        Route("/phone", show),
        Route("/phone.svg", code),
        form_route("/photos", outcomes),
        Route("/photos/{sha256}", piece, methods=["PATCH"]),
    ]


def qr_code(text: str) -> bytes:
    """Return a QR code as SVG, black on white in either colour scheme."""
    image = BytesIO()
    segno.make(text, error="m", micro=False).save(
        image, kind="svg", scale=4, border=3, light="#fff", xmldecl=False
    )
    return image.getvalue()


def _header(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not _NUMBER.match(text):
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"the header {name} must be a number of bytes")
    return int(text)


def _json(content: object, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(content),
        status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
