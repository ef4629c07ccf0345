"""TCGplayer's words: a condition that carries edition, finish and language, and names of products.

`Condition` is `<condition>[ <edition>][ <finish>][ - <language>]`, and a product on sale is one
condition of one printing in one language.
"""

import re
from collections.abc import Mapping

from cardmint_cloud.domain.file_formats import Cells, NotACard
from cardmint_cloud.domain.item_rows import RowFault, number_of
from cardmint_contracts.cards import Condition, Edition, Finish

CONDITIONS = {
    "near mint": Condition.NEAR_MINT,
    "lightly played": Condition.LIGHTLY_PLAYED,
    "moderately played": Condition.MODERATELY_PLAYED,
    "heavily played": Condition.HEAVILY_PLAYED,
    "damaged": Condition.DAMAGED,
}
POKEMON = ("", "pokemon", "pokémon")
"""How files name this game, in lower case."""

_FORMS: Mapping[str, tuple[Edition | None, Finish]] = {
    "": (None, Finish.NORMAL),
    "normal": (None, Finish.NORMAL),
    "holofoil": (None, Finish.HOLO),
    "reverse holofoil": (None, Finish.REVERSE_HOLO),
    "1st edition": (Edition.FIRST, Finish.NORMAL),
    "1st edition holofoil": (Edition.FIRST, Finish.HOLO),
    "unlimited": (Edition.UNLIMITED, Finish.NORMAL),
    "unlimited holofoil": (Edition.UNLIMITED, Finish.HOLO),
}
_SAME_CARD = re.compile(
    r"full art|secret|alternate full art|alternate art secret|rainbow|shiny|gold|special"
    r"|illustration rare|special illustration rare|hyper rare|ultra rare|[0-9]+",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\s+-\s+(?P<number>[A-Za-z]{0,4}[0-9]+[a-z]?(?:/[A-Za-z]{0,4}[0-9]+)?)\s*\Z")
_BRACKETS = re.compile(r"\s*\((?P<inside>[^()]*)\)\s*\Z")


def condition_cells(text: str) -> dict[str, str]:
    """Return condition, edition, finish and language of a condition; empty text says nothing.

    What is not known stays in `condition`, which the reader of rows asks about.
    """
    plain, _, language = text.strip().partition(" - ")
    lower = plain.lower().strip()
    wear = next((one for one in CONDITIONS if lower == one or lower.startswith(f"{one} ")), None)
    form = _FORMS.get(lower.removeprefix(wear or "\0").strip())
    if not lower or wear is None or form is None:
        return {"condition": text.strip()}
    edition, finish = form
    return {
        "condition": CONDITIONS[wear].value,
        "edition": edition.value if edition else "",
        "finish": finish.value,
        "language": language.strip().lower() or "en",
    }


def printing_cells(text: str) -> dict[str, str]:
    """Return edition and finish of a `Printing` or `Variance`, such as `1st Edition Holofoil`.

    What is not known stays in `finish`, which the reader of rows asks about.
    """
    form = _FORMS.get(text.strip().lower()) if text.strip() else None
    if form is None:
        return {"finish": text.strip()}
    edition, finish = form
    return {"edition": edition.value if edition else "", "finish": finish.value}


def card_name(product: str, number: str) -> str:
    """Return the name on the card of a product: `Fox ex - 199/165` is `Fox ex`.

    Raises:
        RowFault: what stands in brackets names a variant, which no printing of ours is.
    """
    name = product.strip()
    found = _NUMBER.search(name)
    if found and number_of(found["number"]) == number_of(number):
        name = name[: found.start()]
    while brackets := _BRACKETS.search(name):
        inside = brackets["inside"].strip()
        if not _SAME_CARD.fullmatch(inside) and number_of(inside) != number_of(number):
            raise RowFault(f"{product[:80]!r}: CardMint does not keep the variant `{inside[:40]}`")
        name = name[: brackets.start()]
    return name


def set_names(name: str) -> tuple[str, ...]:
    """Return the names that a set may have here, the likeliest first.

    `SV01: Scarlet & Violet Base Set` is also looked for without what stands before the colon.
    """
    plain = name.strip().lower()
    tails = [plain.partition(sign)[2].strip() for sign in (": ", " - ") if sign in plain]
    return (plain, *tails)


def of_product(cells: Cells, row: dict[str, str]) -> dict[str, str]:
    """Read a product, whose condition has finish, edition and language in it.

    Raises:
        RowFault: it has a variant that is not kept.
    """
    if (line := cells.get("product_line", "").strip()).lower() not in POKEMON:
        raise NotACard(f"another game: {line[:40]}")
    if not row["number"]:
        raise NotACard("no number: sealed, or no card")
    row |= condition_cells(cells.get("condition", ""))
    if printing := cells.get("printing", "").strip():
        row |= printing_cells(printing)
    row["name"] = card_name(row["name"], row["number"])
    return row


def of_app(cells: Cells, row: dict[str, str]) -> dict[str, str]:
    """Read a scan of the app: a row of quantity 0 is nothing that was scanned."""
    if row["quantity"] in {"", "0"}:
        raise NotACard("quantity 0")
    return with_product(of_product(cells, row), cells.get("product_id", ""))


def with_product(row: dict[str, str], number: str) -> dict[str, str]:
    """Return a row with TCGplayer's number of its product, if it has one."""
    return row | ({"product": f"tcgplayer:{number.strip()}"} if number.strip() else {})
