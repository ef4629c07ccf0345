"""A stand-in for TCGdex: its real shapes for any card id, prices derived from the id, faults on demand."""

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Litestar, Response, get
from litestar.params import FromPath, QueryParameter

Fault = Literal["slow", "rate-limited", "broken", "truncated", "garbage", "wrong-types", "wrong-card"]
FAULTS: tuple[Fault, ...] = (
    *("slow", "rate-limited", "broken", "truncated"),
    *("garbage", "wrong-types", "wrong-card"),
)


def build(*, fault: Fault | None = None, slow_s: float = 10.0) -> Litestar:
    """Return the stand-in. `fault` befalls every answer; `?fault=` befalls one. Ids from `missing` on are unknown."""

    @get("/v2/en/cards/{card_id:str}")
    async def card(
        card_id: FromPath[str], asked: Annotated[Fault | None, QueryParameter(name="fault")] = None
    ) -> Response[bytes]:
        chosen = asked or fault
        if chosen == "slow":
            await asyncio.sleep(slow_s)
        if chosen is not None and (failed := _failure(chosen, card_id)) is not None:
            return failed
        if card_id.startswith("missing"):
            return _json({"type": "https://tcgdex.dev/errors/not-found", "title": "Not found", "status": 404}, 404)
        return _json(record("another-1" if chosen == "wrong-card" else card_id))

    return Litestar([card], openapi_config=None)


def record(card_id: str) -> dict[str, Any]:
    """Return the record of a card: the same for the same id, whenever it is asked for."""
    seed = int.from_bytes(hashlib.sha256(card_id.encode()).digest()[:8])
    set_id, _, local_id = card_id.rpartition("-")
    # Most cards are cheap and a few are dear, as in a real box.
    cents = 8 + seed % 90 if seed % 10 else 300 + seed % 24_700
    return {
        "category": "Pokemon",
        "id": card_id,
        "localId": local_id,
        "name": f"Card {local_id}",
        "set": {"id": set_id, "name": set_id, "cardCount": {"official": 100, "total": 120}},
        "variants": {"normal": True, "reverse": True, "holo": True, "firstEdition": False},
        "updated": "2026-01-01T00:00:00Z",
        "pricing": {
            "tcgplayer": {
                "updated": datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).isoformat(),
                "unit": "USD",
                "normal": _figures(cents),
                "reverse": _figures(cents * 2 + 11),
                "holofoil": _figures(cents * 3 + 25),
            }
            if seed % 16
            else None,
            "cardmarket": {
                "updated": datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).isoformat(),
                "unit": "EUR",
                "avg": cents / 100,
                "low": cents // 2 / 100,
                "trend": cents / 100,
                "avg-holo": cents * 3 / 100,
                "low-holo": None,
                "trend-holo": cents * 3 / 100,
            },
        },
    }


def _figures(cents: int) -> dict[str, Any]:
    return {
        "productId": cents,
        "lowPrice": cents // 2 / 100,
        "midPrice": cents / 100,
        "highPrice": cents * 4 / 100,
        "marketPrice": cents / 100,
        "directLowPrice": None,
    }


def _failure(fault: Fault, card_id: str) -> Response[bytes] | None:
    match fault:
        case "rate-limited":
            return Response(b"", status_code=429, headers={"retry-after": "1"})
        case "broken":
            page = b"<!doctype html><title>500</title><h1>Internal Server Error</h1>"
            return Response(page, status_code=500, media_type="text/html")
        case "truncated":
            whole = msgspec.json.encode(record(card_id))
            return Response(whole[: len(whole) // 2], media_type="application/json")
        case "garbage":
            return Response(hashlib.sha512(card_id.encode()).digest(), media_type="application/json")
        case "wrong-types":
            prices = {"updated": 7, "unit": "USD", "normal": {"marketPrice": "$1,234.50"}}
            return _json({**record(card_id), "pricing": {"tcgplayer": prices}})
        case _:
            return None


def _json(value: object, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")
