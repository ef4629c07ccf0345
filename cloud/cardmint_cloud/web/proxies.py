"""Who really asks, behind proxies: their headers count only from addresses that are listed.

Anybody may send `X-Forwarded-For`. So the headers of a peer that is not listed are ignored, and of
the addresses that a listed proxy names the last one that is no proxy itself is the client's.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
ClientHeader = Literal["x-forwarded-for", "fly-client-ip"]
"""The header in which the proxies name the client; the other one is never read."""


class ProxyGuard:
    """ASGI: gives client, scheme and host as a trusted proxy had them."""

    def __init__(
        self, app: ASGIApp, trusted: Iterable[str], client_header: ClientHeader = "x-forwarded-for"
    ) -> None:
        """Take the app. `trusted` are addresses and networks of proxies."""
        self._app = app
        self._trusted = [ip_network(one) for one in trusted]
        self._client_header = client_header.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, as from the client."""
        if scope["type"] == ScopeType.HTTP and self._is_proxy(_parsed(_peer(scope))):
            self._take(scope)
        await self._app(scope, receive, send)

    def _take(self, scope: Scope) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        named = b",".join(
            value for name, value in scope["headers"] if name.lower() == self._client_header
        )
        client = self._client(named.decode("latin-1"))
        if client is not None:
            scope["client"] = (str(client), 0)
        scheme = headers.get(b"x-forwarded-proto", b"").decode("latin-1").strip().lower()
        if scheme in {"http", "https"}:
            scope["scheme"] = scheme
        host = headers.get(b"x-forwarded-host", b"").strip()
        if host and b"," not in host:
            others = [(name, value) for name, value in scope["headers"] if name.lower() != b"host"]
            scope["headers"] = [*others, (b"host", host)]

    def _client(self, named: str) -> Address | None:
        """Return the last address that is no proxy; None where one before it cannot be read."""
        for text in reversed(named.split(",")):
            address = _parsed(text.strip())
            if address is None or not self._is_proxy(address):
                return address
        return None

    def _is_proxy(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def _peer(scope: Scope) -> str:
    client = scope["client"]
    return client[0] if client else ""


def _parsed(text: str) -> Address | None:
    """Return an address, without the port that some proxies add; None where it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
