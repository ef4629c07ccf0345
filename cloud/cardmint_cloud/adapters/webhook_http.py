"""HTTP requests to a webhook's target: checked, pinned to the checked address, and bounded."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import NamedTuple

import httpx

from cardmint_cloud import __version__
from cardmint_cloud.domain.webhooks import PORTS, Network, Target, refusal

TIMEOUT_S = 20.0
MAX_ANSWER_BYTES = 64 << 10
KEPT = 500
"""Characters of an answer that are kept."""

Resolve = Callable[[str, int], Awaitable[list[str]]]


class Attempt(NamedTuple):
    """An attempt's answer: its status, 0 for none; how long it took; what it said, or what failed.

    `retry_after_s` is what the answer asks for, 0 for nothing.
    """

    status: int
    milliseconds: int
    answer: str
    retry_after_s: float = 0.0


async def resolve(host: str, port: int) -> list[str]:
    """Return all addresses of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class WebhookHttp:
    """Makes connections to targets in public networks, and in `networks`."""

    def __init__(
        self,
        networks: Iterable[Network] = (),
        *,
        resolve: Resolve = resolve,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._networks, self._resolve = tuple(networks), resolve
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context()

    def refusal_of(self, target: Target) -> str | None:
        """Return why nothing will ever be sent to a target that is an address; None otherwise.

        A name is looked up each time that something is sent.
        """
        try:
            address = str(ip_address(target.host))
        except ValueError:
            return None
        return refusal(target, [address], self._networks)

    @contextlib.asynccontextmanager
    async def to(self, target: Target) -> AsyncIterator["TargetConnection"]:
        """Give a connection to a target, which is made with the first request."""
        # Without the environment's proxies: they would resolve the name again.
        async with httpx.AsyncClient(
            verify=self._tls, trust_env=False, timeout=self._timeout_s
        ) as client:
            yield TargetConnection(client, target, self._networks, self._resolve, self._timeout_s)


class TargetConnection:
    """One target for a while."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        target: Target,
        networks: tuple[Network, ...],
        resolve: Resolve,
        timeout_s: float,
    ) -> None:
        self._client, self._target, self._networks = client, target, networks
        self._resolve, self._timeout_s = resolve, timeout_s

    async def post(self, headers: Mapping[str, str], body: bytes) -> Attempt:
        """Post a body; every failure is an attempt without a status.

        The name is resolved once, all its addresses are checked, and the request goes to the first
        of them: a name that changes meanwhile changes nothing. Redirects are not followed.
        """
        start, target = time.monotonic(), self._target
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await self._resolve(target.host, target.port)
                if (why := refusal(target, addresses, self._networks)) is not None:
                    return _failed(start, f"refused: {why}")
                return await self._send(start, addresses[0], headers, body)
        except TimeoutError:
            return _failed(start, f"no answer within {self._timeout_s:.0f} s")
        except (OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL) as error:
            return _failed(start, str(error) or type(error).__name__)

    async def _send(
        self, start: float, address: str, headers: Mapping[str, str], body: bytes
    ) -> Attempt:
        target = self._target
        at = f"[{address}]" if ":" in address else address
        host = f"[{target.host}]" if ":" in target.host else target.host
        name = host if target.port == PORTS[target.scheme] else f"{host}:{target.port}"
        async with self._client.stream(
            "POST",
            f"{target.scheme}://{at}:{target.port}{target.path}",
            headers={"host": name, "user-agent": f"cardmint/{__version__}", **headers},
            content=body,
            extensions={"sni_hostname": target.host},
        ) as answer:
            said = b""
            async for part in answer.aiter_raw(4096):
                said += part
                if len(said) >= MAX_ANSWER_BYTES:
                    break
            return Attempt(
                answer.status_code,
                _since(start),
                said.decode("utf-8", "replace")[:KEPT],
                _seconds(answer.headers.get("retry-after", "")),
            )


def _seconds(text: str) -> float:
    """Return the seconds of a header `Retry-After`; a date counts as none."""
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0.0


def _failed(start: float, why: str) -> Attempt:
    return Attempt(0, _since(start), why[:KEPT])


def _since(start: float) -> int:
    return round((time.monotonic() - start) * 1000)
