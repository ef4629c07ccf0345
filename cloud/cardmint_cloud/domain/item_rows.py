"""Rows of a file of cards: columns, words that must be known, and what a row wants.

A row with an `item` changes that card, which must still have the row's `version`. A row with a
`reference` adds cards, once: the same reference never adds a second time.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, cast, get_args
from uuid import UUID

import msgspec
from msgspec.structs import replace

from cardmint_cloud.domain.catalogue_words import query_words
from cardmint_cloud.domain.item_query import KEYWORDS
from cardmint_contracts.cards import Card, Condition, Edition, Finish, Money
from cardmint_contracts.changes import Clearable, ItemValues, Slab, Stock
from cardmint_contracts.currencies import DECIMALS
from cardmint_contracts.wire import Line, convert

COLUMNS = (
    *("item", "version", "card_id", "name", "number", "set_id", "set_name"),
    *("language", "finish", "edition"),
    *("condition", "bin", "lot", "note", "status", "stock", "grader", "grade", "certificate"),
    *("paid", "paid_currency", "price", "price_currency", "price_source", "price_as_of"),
    *("station", "scanned", "confidence"),
)
"""The columns of a file that is written."""

TOLD = ("status", "price", "price_currency", "price_source", "price_as_of", "station", "scanned")
"""Columns that are read over: they say what no file decides."""

READ = frozenset({*COLUMNS, "reference", "quantity", "product"}) - {*TOLD, "confidence"}
"""The columns that are read."""

MAX_QUANTITY = 1000
SET = "set"
"""The column, as words of a file name it, whose values are the sets that are known."""

MARKETS = ("tcgplayer", "cardmarket")
"""Marketplaces whose numbers of products the catalogue has."""

_PRODUCT = re.compile(r"[0-9]{1,12}")
_LANGUAGES = {
    **dict.fromkeys(("en", "english"), "en"),
    **dict.fromkeys(("fr", "french"), "fr"),
    **dict.fromkeys(("de", "german"), "de"),
    **dict.fromkeys(("it", "italian"), "it"),
    **dict.fromkeys(("es", "spanish"), "es"),
    **dict.fromkeys(("pt", "portuguese"), "pt"),
    **dict.fromkeys(("nl", "dutch"), "nl"),
    **dict.fromkeys(("pl", "polish"), "pl"),
    **dict.fromkeys(("ru", "russian"), "ru"),
    **dict.fromkeys(("ja", "japanese"), "ja"),
    **dict.fromkeys(("ko", "korean"), "ko"),
    **dict.fromkeys(("th", "thai"), "th"),
    **dict.fromkeys(("id", "indonesian"), "id"),
    "es-mx": "es-mx",
    "pt-br": "pt-br",
    "zh-tw": "zh-tw",
    "zh-cn": "zh-cn",
}
WORDS: Mapping[str, Mapping[str, str]] = {
    "language": _LANGUAGES,
    **{
        name: {word: code for word, code in KEYWORDS[name].codes.items() if code}
        for name in ("condition", "finish", "edition", "stock")
    },
}
"""By column, the words that are known, each with its value. Any other is asked about, not guessed.
"""

_TYPES: Mapping[str, type[Condition | Finish | Edition | Stock]] = {
    "condition": Condition,
    "finish": Finish,
    "edition": Edition,
    "stock": Stock,
}
_TEXTS = ("bin", "lot", "note")
_WITHOUT = re.compile(r"^0+(?=[0-9])|/.*$")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintedCard:
    """A printing with the text by which it is searched."""

    card: Card
    words: str

    def with_words(self, words: str) -> "PrintedCard":
        """Return the same printing, found by more words."""
        return PrintedCard(card=self.card, words=f"{self.words} {words}")

    def is_called(self, name: str) -> bool:
        """Whether a name is one of the printing's, in any language."""
        return all(word in self.words for word in query_words(name))


@dataclass(frozen=True, kw_only=True, slots=True)
class CardRow:
    """What a row says: an item in a version, or a reference and how many; a printing; values.

    The printing is named by `card_id`, by the number that a marketplace gives it (`product`:
    `tcgplayer:42382`), or by set and number; `name` must be one of its names. `values` holds what
    is set, and, for an item, what is cleared.
    """

    item: UUID | None
    version: int
    reference: str
    quantity: int
    card_id: str
    set_name: str
    number: str
    name: str
    values: ItemValues
    product: str = ""


class RowFault(ValueError):
    """A row that cannot be used, and why. `word` is a column and a word that is not known."""

    def __init__(self, message: str, word: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.word = word


def unknown_columns(names: Collection[str]) -> list[str]:
    """Return the names that are no columns."""
    return [name for name in names if name not in {*READ, *COLUMNS}]


def column_name(text: str) -> str:
    """Return a heading as columns are named: `Paid currency` is `paid_currency`."""
    return "_".join(text.strip().lower().replace("-", " ").replace("_", " ").split())


def number_of(text: str) -> str:
    """Return a collector's number without zeros before it and without the size of the set."""
    return _WITHOUT.sub("", text.strip().lower())


def read_row(cells: Mapping[str, str], words: Mapping[tuple[str, str], str]) -> CardRow:
    """Return what a row says. `words` are values for words that only this file has.

    Raises:
        RowFault: it cannot be used.
    """
    texts = {name: _undefused(cells.get(name, "")).strip() for name in READ}
    item = _item(texts["item"])
    if item is None and not texts["reference"]:
        raise RowFault("give each card a `reference` of its own, or the `item` that it is")
    if item is not None and texts["reference"]:
        raise RowFault("either an `item`, which is there, or a `reference`, which is new")
    if item is not None and texts["quantity"] not in {"", "1"}:
        raise RowFault("an `item` is one card; `quantity` is for new ones")
    wanted, cleared = dict[str, Any](), list[str]()
    for name in (*_TEXTS, "language", *_TYPES):
        if texts[name]:
            wanted[name] = _value(name, texts[name], words)
        elif item is not None and name in cells and name in get_args(Clearable):
            cleared.append(name)
    for name, column, value in (
        ("paid", "paid", _paid(texts)),
        ("slab", "grader", _slab(texts)),
    ):
        if value is not None:
            wanted[name] = value
        elif item is not None and column in cells:
            cleared.append(name)
    return CardRow(
        item=item,
        version=_whole("version", texts["version"], 2**31 - 1) if item is not None else 0,
        reference=_line("reference", texts["reference"]),
        quantity=_whole("quantity", texts["quantity"] or "1", MAX_QUANTITY),
        card_id=texts["card_id"],
        set_name=_set_name(texts["set_id"] or texts["set_name"], words),
        number=texts["number"],
        name=texts["name"],
        product=_product(texts["product"]),
        values=ItemValues(
            **wanted, cleared=tuple(cast("Clearable", one) for one in sorted(cleared))
        ),
    )


def printing_of_row(row: CardRow, found: Collection[PrintedCard]) -> Card | None:
    """Return the one printing that a row names, among those `found`; None if it names none.

    Raises:
        RowFault: none or several fit.
    """
    if not row.card_id and not found and not (row.set_name and row.number):
        if row.product:
            raise RowFault(f"the catalogue has no product {row.product}; give set and number, too")
        if row.item is not None:
            return None
        raise RowFault("which card? give `card_id`, or `set_id` and `number`")
    named = row.card_id or f"{row.set_name} {row.number}".strip() or row.product
    if not found:
        raise RowFault(f"no station and no catalogue knows a card {named[:80]!r}")
    fitting = [one for one in found if one.is_called(row.name)]
    fitting = [
        one
        for one in fitting
        if not row.number or number_of(row.number) == number_of(one.card.number)
    ]
    if not fitting:
        first = next(iter(found)).card
        said = f"{row.name} {row.number}".strip()[:80]
        raise RowFault(f"{named[:80]} is {first.name} {first.number}, not {said}")
    if len({one.card.id for one in fitting}) > 1:
        ids = ", ".join(sorted(one.card.id for one in fitting)[:5])
        raise RowFault(f"{named[:80]} may be {ids}: give `card_id`")
    return fitting[0].card


def changed_values(row: CardRow, card: Card | None, counted: str) -> ItemValues:
    """Return what a row gives an item whose printing is `counted`."""
    return row.values if card is None or card.id == counted else replace(row.values, card=card)


def parse_money(text: str, currency: str) -> Money:
    """Return an amount in a currency's own unit, with a point or a comma.

    Raises:
        ValueError: it is none.
    """
    currency = currency.strip().upper()
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
        message = "a currency of three letters is expected, such as EUR"
        raise ValueError(message)
    message = f"an amount such as 2.50 is expected, not {text.strip()[:40]!r}"
    try:
        amount = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        raise ValueError(message) from None
    sound = amount.is_finite() and abs(amount.adjusted()) <= 12
    minor = amount.scaleb(DECIMALS.get(currency, 2)) if sound else Decimal(-1)
    if minor < 0 or minor > 10**12 or minor != int(minor):
        raise ValueError(message)
    return Money(minor=int(minor), currency=currency)


def defused(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _undefused(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def _paid(texts: Mapping[str, str]) -> Money | None:
    try:
        return parse_money(texts["paid"], texts["paid_currency"]) if texts["paid"] else None
    except ValueError as error:
        raise RowFault(f"paid: {error}") from None


def _slab(texts: Mapping[str, str]) -> Slab | None:
    names = ("grader", "grade", "certificate")
    if not any(texts[name] for name in names):
        return None
    if not (texts["grader"] and texts["grade"]):
        raise RowFault("a slab has a `grader` and a `grade`")
    return Slab(**{name: _line(name, texts[name]) for name in names})


def _item(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise RowFault(f"`item` is no identifier: {text[:60]!r}") from None


def _whole(name: str, text: str, most: int) -> int:
    plain = text.removesuffix(".0")  # as spreadsheets write it
    if not plain.isascii() or not plain.isdigit() or not 1 <= int(plain[:12]) <= most:
        raise RowFault(f"`{name}` is a number from 1 to {most:,}, not {text[:40]!r}")
    return int(plain)


def _set_name(text: str, words: Mapping[tuple[str, str], str]) -> str:
    """Return a set's name in lower case, or what a word of the file stands for."""
    return words.get((SET, text.lower()), text.lower())


def _product(text: str) -> str:
    market, sign, number = text.lower().partition(":")
    if text and not (market in MARKETS and sign and _PRODUCT.fullmatch(number)):
        raise RowFault(f"`product` is such as `tcgplayer:42382`, not {text[:40]!r}")
    return text.lower()


def read_amount(name: str, text: str, currency: str) -> Money | None:
    """Return an amount of a file of others, such as `1,234.5600` or `$2.50`; None where empty.

    Raises:
        RowFault: it is none, or has parts of the smallest unit.
    """
    plain = text.strip().lstrip("$€£").strip()
    if "," in plain and "." in plain:
        plain = plain.replace(",", "")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".") or "0"
    try:
        return parse_money(plain, currency) if plain else None
    except ValueError as error:
        raise RowFault(f"{name}: {error}") from None


def count_of(name: str, text: str) -> int:
    """Return a number of cards, 0 where the text is empty.

    Raises:
        RowFault: it is no number from 0 to a million.
    """
    plain = text.strip().removesuffix(".0")
    if plain and not (plain.isascii() and plain.isdigit() and len(plain) <= 6):
        raise RowFault(f"`{name}` is a number of cards, not {text[:40]!r}")
    return int(plain or 0)


def _value(name: str, text: str, words: Mapping[tuple[str, str], str]) -> object:
    if name in _TEXTS:
        return _line(name, text)
    word = text.lower().replace("_", "-")
    code = (
        words.get((name, text.lower()))
        or WORDS[name].get(word)
        or WORDS[name].get(word.replace(" ", "-"))
    )
    if code is None:
        raise RowFault(f"`{name}` has no word {text[:40]!r}", (name, text.lower()[:200]))
    return _TYPES[name](code) if name in _TYPES else code


def _line(name: str, text: str) -> str:
    try:
        return convert(text, Line)
    except msgspec.ValidationError as error:
        raise RowFault(f"`{name}` cannot be used: {error}") from None


def read_word(text: str) -> tuple[tuple[str, str], str]:
    """Return what `condition:VG=lp` says a word stands for.

    Raises:
        ValueError: it cannot be read.
    """
    place, sign, value = text.rpartition("=")
    name, colon, word = place.partition(":")
    known = WORDS.get(name)
    if not sign or not colon or not word.strip() or (known is None and name != SET):
        message = f"{text[:80]!r}: a column, a word and its value are expected: condition:VG=lp"
        raise ValueError(message)
    if known is None:
        return (name, word.strip().lower()), value.strip().lower()
    code = known.get(value.strip().lower().replace("_", "-"))
    if code is None:
        message = f"{text[:80]!r}: `{name}` knows {', '.join(known)}"
        raise ValueError(message)
    return (name, word.strip().lower()), code
