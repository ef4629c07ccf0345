"""Faults on demand and a count of calls, for every stand-in."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, cast, get_args

import msgspec
from litestar import Request, Response
from litestar.response import Stream

ProviderName = Literal["tcgdex", "pokemontcg", "pricecharting", "tcgcsv"]
PROVIDER_NAMES: tuple[ProviderName, ...] = get_args(ProviderName)
Fault = Literal[
    "slow",
    "rate-limited",
    "broken",
    "key-refused",
    "reset",
    "truncated",
    "garbage",
    "wrong-types",
    "wrong-card",
    "stale",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
StandInRequest = Request[Any, Any, Any]
MakeRecord = Callable[[Fault | None], object]


class FaultControl:
    """The fault of each provider, and how often each was called."""

    def __init__(self, fault: Fault | None = None, *, slow_s: float = 10.0) -> None:
        self.faults: dict[ProviderName, Fault | None] = dict.fromkeys(PROVIDER_NAMES, fault)
        self.calls: Counter[str] = Counter()
        self._slow_s = slow_s

    async def answer(
        self, name: ProviderName, request: StandInRequest, record: MakeRecord
    ) -> Response[Any]:
        """Answer with the value that `record` returns, or with the provider's fault.

        The query `?fault=` sets the fault of one answer. An answer has an entity tag, and an
        unchanged one is not sent again. None is not found.
        """
        self.calls[name] += 1
        asked = request.query_params.get("fault")
        fault = cast("Fault", asked) if asked in FAULTS else self.faults[name]
        if fault == "slow":
            await asyncio.sleep(self._slow_s)
        if (failed := _failure(fault, request)) is not None:
            return failed
        value = record(fault)
        if value is None:
            return _json(b'{"status":404,"title":"Not found"}', 404)
        body = msgspec.json.encode(value)
        if fault == "truncated":
            return _json(body[: len(body) // 2])
        if fault == "garbage":
            return _json(hashlib.sha512(body).digest())
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(b"", status_code=304, headers={"etag": tag})
        return _json(body, headers={"etag": tag})


def _failure(fault: Fault | None, request: StandInRequest) -> Response[Any] | None:
    if fault == "rate-limited":
        return Response(b"", status_code=429, headers={"retry-after": "1"})
    if fault == "broken" or (fault == "key-refused" and "x-api-key" in request.headers):
        page = b"<!doctype html><title>500</title><h1>Internal Server Error</h1>"
        return Response(page, status_code=500, media_type="text/html")
    if fault == "reset":
        # The server finds less than it promised, and closes the connection in the middle of the
        # answer.
        return Stream(
            iter([b'{"id":']), media_type="application/json", headers={"content-length": "4096"}
        )
    return None


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def made_up_price(name: str) -> int:
    """Return a price that is always the same for the same name.

    Most cards are cheap and a few are dear, as in a real box.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    return 8 + seed % 90 if seed % 10 else 300 + seed % 24_700
