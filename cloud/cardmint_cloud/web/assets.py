"""The dashboard's own files and htmx's, with a digest in their address, so that they are cached."""

import hashlib
from importlib import resources

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FILES = {
    "app.css": ("cardmint_cloud.web", "static/app.css"),
    "app.js": ("cardmint_cloud.web", "static/app.js"),
    "passkeys.js": ("cardmint_cloud.web", "static/passkeys.js"),
    "icon.svg": ("cardmint_cloud.web", "static/icon.svg"),
    "htmx.js": ("django_htmx", "static/django_htmx/htmx-2.min.js"),
    "sse.js": ("django_htmx", "static/django_htmx/ext/hx-sse-2.min.js"),
}


class Assets:
    """The files by name."""

    def __init__(self) -> None:
        self._files = {
            name: resources.files(package).joinpath(path).read_bytes()
            for name, (package, path) in _FILES.items()
        }

    def address(self, name: str) -> str:
        """Return a file's address, which changes with its content."""
        return f"/static/{name}?v={hashlib.sha256(self._files[name]).hexdigest()[:12]}"

    def content(self, name: str) -> tuple[bytes, str] | None:
        """Return a file's bytes and media type; None when it does not exist."""
        found = self._files.get(name)
        return (found, _MEDIA_TYPES[name[name.rindex(".") :]]) if found is not None else None


def handler(assets: Assets) -> HTTPRouteHandler:
    """Return the route that serves the files."""

    @get("/static/{name:str}", sync_to_thread=False)
    def static(name: FromPath[str]) -> Response[bytes]:
        found = assets.content(name)
        if found is None:
            raise NotFoundException
        content, media_type = found
        return Response(
            content,
            media_type=media_type,
            headers={"cache-control": "public, max-age=31536000, immutable"},
        )

    return static
