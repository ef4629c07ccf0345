"""Who may ask the page for something: this machine's own browser, from the page itself."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from litestar import Request
from litestar.exceptions import PermissionDeniedException

HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with no-referrer browsers send `Origin: null`, even to the page itself
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_SAFE = {"GET", "HEAD", "OPTIONS"}


def check(request: Request[Any, Any, Any]) -> None:
    """Let a request through, or raise PermissionDeniedException.

    A foreign Host is a name that was pointed at this machine (DNS rebinding). A POST must come from the page: browsers
    say so in Sec-Fetch-Site, and older ones in Origin.
    """
    host = request.headers.get("host", "")
    if not _is_loopback(urlsplit(f"//{host}").hostname):
        raise PermissionDeniedException(detail=f"this page is not served as {host!r}")
    if request.method in _SAFE:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site not in {None, "same-origin"} or (origin is not None and urlsplit(origin).netloc != host):
        raise PermissionDeniedException(detail="answers are taken from the station's own page only")


def _is_loopback(name: str | None) -> bool:
    if name is None or name == "localhost":
        return name is not None
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
