"""A stand-in for TCGdex's catalogue: the API's shapes over a folder of its database, with faults.

A bare ASGI application: it must answer 21,000 calls in a fraction of a minute, and must be able to
answer what no framework would.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

import msgspec

from cardmint_contracts.set_bridge import pokemon_tcg_id

CatalogueFault = Literal[
    "rate-limited", "broken", "half-body", "wrong-length", "html", "other-card", "gone"
]
CATALOGUE_FAULTS: tuple[CatalogueFault, ...] = get_args(CatalogueFault)
ASIAN = {"ja", "ko", "zh-tw", "zh-cn", "th", "id"}

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Card = dict[str, Any]


class CatalogueStandIn:
    """The application. Every `every`-th answer has the fault `fault`.

    `hidden` says how many of a set's last cards do not exist yet; -1 hides the whole set. `lost`
    says how many cards a set counts and does not list. The path `broken` always answers 500.
    """

    def __init__(self, data: Path, pictures: Path | None = None) -> None:
        """Take a folder in the layout of TCGdex's database, and one of `<card id>.jpg`.

        Large pictures are those in its folder `high`, where there are any.
        """
        self._data, self._pictures = data, pictures
        sets = msgspec.json.decode((data / "sets.json").read_bytes())
        self._sets = {
            (one["region"], one["id"]): one
            for one in sets
            if (data / "cards" / one["region"] / f"{one['id']}.json").exists()
        }
        self._cards: dict[tuple[str, str], dict[str, Card]] = {}
        self._bodies: dict[str, bytes] = {}
        self.fault: CatalogueFault | None = None
        self.every = 0
        self.hidden: dict[str, int] = {}
        self.lost: dict[str, int] = {}
        self.broken = "/"
        self.calls = 0
        self.bodies = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if path.startswith("/control/"):
            await _send(send, 200, self._controlled(path.split("/")[2:]), {})
            return
        self.calls += 1
        host = headers.get("host", "127.0.0.1")
        body = self._picture(path) if path.startswith("/assets/") else self._answer(path, host)
        if body is None:
            await _send(send, 404, b'{"status":404,"title":"Not found"}', {})
            return
        if self.broken != "/" and path == self.broken:
            await self._answer_wrongly("broken", body, send)
            return
        if self.every and self.calls % self.every == 0 and self.fault is not None:
            await self._answer_wrongly(self.fault, body, send)
            return
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if headers.get("if-none-match") == tag:
            await _send(send, 304, b"", {"etag": tag})
            return
        self.bodies += 1
        await _send(send, 200, body, {"etag": tag})

    def _controlled(self, words: list[str]) -> bytes:
        match words:
            case ["fault", kind, every]:
                self.fault = next((one for one in CATALOGUE_FAULTS if one == kind), None)
                self.every = int(every)
            case ["hide", set_id, count]:
                self.hidden[set_id] = int(count)
                self._bodies.clear()
            case ["lose", set_id, count]:
                self.lost[set_id] = int(count)
                self._bodies.clear()
            case ["break", *path]:
                self.broken = "/" + "/".join(path)
            case _:
                pass
        return msgspec.json.encode(
            {"calls": self.calls, "bodies": self.bodies, "fault": self.fault, "every": self.every}
        )

    async def _answer_wrongly(self, fault: CatalogueFault, body: bytes, send: Send) -> None:
        match fault:
            case "rate-limited":
                await _send(send, 429, b"", {"retry-after": "1"})
            case "broken":
                await _send(send, 500, b"<h1>Internal Server Error</h1>", {})
            case "half-body":
                await _send(send, 200, body[: len(body) // 2], {})
            case "html":
                await _send(send, 200, b"<!doctype html><title>Log in</title>", {})
            case "other-card":
                await _send(send, 200, body.replace(b'"id":"', b'"id":"x', 1), {})
            case "gone":
                await _send(send, 404, b"{}", {})
            case "wrong-length":
                # uvicorn finds less than was promised, and closes the connection.
                await _send(send, 200, body, {"content-length": str(len(body) + 9)})

    def _answer(self, path: str, host: str) -> bytes | None:
        known = self._bodies.get(path)
        if known is None:
            match path.strip("/").split("/"):
                case ["v2", language, "sets"]:
                    value: object = list(self._list(language))
                case ["v2", language, "sets", set_id]:
                    value = self._set(language, set_id, host)
                case ["v2", language, "cards", card_id]:
                    value = self._card(language, card_id, host)
                case _:
                    value = None
            if value is None:
                return None
            known = self._bodies[path] = msgspec.json.encode(value)
        return known

    def _list(self, language: str) -> Iterator[dict[str, Any]]:
        for (region, set_id), one in self._sets.items():
            if (
                region == _region(language)
                and language in one["name"]
                and self.hidden.get(set_id, 0) >= 0
            ):
                yield {"id": set_id, "name": one["name"][language], "cardCount": _count(one)}

    def _set(self, language: str, set_id: str, host: str) -> dict[str, Any] | None:
        one = self._sets.get((_region(language), set_id))
        if one is None or language not in one["name"] or self.hidden.get(set_id, 0) < 0:
            return None
        codes = one.get("abbreviations") or {}
        listed = sum(language in one["name"] for one in self._cards_of(language, set_id).values())
        released = one.get("releaseDate")
        return {
            "id": set_id,
            "name": one["name"][language],
            "cardCount": {**_count(one), "total": listed + self.lost.get(set_id, 0)},
            "releaseDate": released.get(language) if isinstance(released, dict) else released,
            "serie": {"id": one.get("serie", ""), "name": one.get("serie", "")},
            "legal": {"standard": False, "expanded": False},
            **(
                {"abbreviation": {"official": codes["official"], "normal": codes.get(language)}}
                if "official" in codes
                else {}
            ),
            "cards": [
                {
                    "id": f"{set_id}-{card['localId']}",
                    "localId": card["localId"],
                    "name": card["name"][language],
                    **self._image(language, set_id, card["localId"], host),
                }
                for card in self._cards_of(language, set_id).values()
                if language in card["name"]
            ],
        }

    def _card(self, language: str, card_id: str, host: str) -> dict[str, Any] | None:
        set_id, _, local_id = card_id.rpartition("-")
        one = self._sets.get((_region(language), set_id))
        card = self._cards_of(language, set_id).get(local_id) if one else None
        if one is None or card is None or language not in card["name"]:
            return None
        kept = ("category", "hp", "illustrator", "rarity", "regulationMark", "stage", "types")
        return {
            "id": card_id,
            "localId": local_id,
            "name": card["name"][language],
            **{key: card[key] for key in kept if key in card},
            "attacks": _moves(card.get("attacks"), language),
            "abilities": _moves(card.get("abilities"), language),
            "variants": _flags(card.get("variants")),
            "set": {"id": set_id, "name": one["name"].get(language), "cardCount": _count(one)},
            "updated": "2026-08-21T00:00:00Z",
            "pricing": None,
            **self._image(language, set_id, local_id, host),
        }

    def _cards_of(self, language: str, set_id: str) -> dict[str, Card]:
        key = (_region(language), set_id)
        if key not in self._cards:
            path = self._data / "cards" / key[0] / f"{set_id}.json"
            cards = msgspec.json.decode(path.read_bytes())
            self._cards[key] = {card["localId"]: card for card in cards}
        cards, late = self._cards[key], self.hidden.get(set_id, 0)
        return dict(list(cards.items())[: len(cards) - late]) if late > 0 else cards

    def _image(self, language: str, set_id: str, local_id: str, host: str) -> dict[str, str]:
        if language in ASIAN or self._pictures is None:
            return {}
        if not (self._pictures / f"{pokemon_tcg_id(set_id, local_id)}.jpg").exists():
            return {}
        return {"image": f"http://{host}/assets/{language}/{set_id}/{quote(local_id)}"}

    def _picture(self, path: str) -> bytes | None:
        match path.strip("/").split("/"):
            case ["assets", _, set_id, local_id, ("low.jpg" | "high.jpg") as size] if (
                self._pictures
            ):
                name = f"{pokemon_tcg_id(set_id, local_id)}.jpg"
                high = self._pictures / "high" / name
                if size == "high.jpg" and high.exists():
                    return high.read_bytes()
                return (self._pictures / name).read_bytes()
        return None


def _region(language: str) -> str:
    return "asia" if language in ASIAN else "international"


def _count(one: dict[str, Any]) -> dict[str, int]:
    return {"total": one.get("cards", 0), "official": one.get("official", 0)}


def _moves(moves: list[Card] | None, language: str) -> list[dict[str, Any]]:
    return [{"name": (move.get("name") or {}).get(language)} for move in moves or []]


def _flags(variants: object) -> dict[str, bool]:
    """Return the flags of the API for the database's list of variants."""
    if isinstance(variants, dict):
        return variants
    kinds = [one for one in variants or [] if isinstance(one, dict)]  # type: ignore[attr-defined]
    names = {one["type"] for one in kinds if one.get("size") != "jumbo"}
    stamps = {stamp for one in kinds for stamp in one.get("stamp") or []}
    return {
        "normal": "normal" in names,
        "reverse": "reverse" in names,
        "holo": "holo" in names,
        "firstEdition": any(stamp.replace(" ", "-").lower() == "1st-edition" for stamp in stamps),
        "wPromo": "w-promo" in stamps,
    }


async def _send(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    given = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    if status == 304:
        del given["content-length"]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
