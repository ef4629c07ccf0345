"""The query language of items: `set:PAF price>5 bin:A* -lang:en is:unpriced order:-price`.

`KEYWORDS` is the table that parser, help and error messages share. Terms are separated by spaces,
and all must hold; `or` between two terms makes them alternatives, before all must hold; values
separated by commas are alternatives; `-` before a term negates it; quotes keep spaces. A term
without a keyword is looked for in what is printed, bin, lot and note.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Literal

from cardmint_cloud.domain.items import ItemStatus
from cardmint_contracts.cards import Condition, Edition, Finish
from cardmint_contracts.changes import Stock

MAX_QUERY = 1000
MAX_TERMS = 30
MAX_VALUES = 50
MAX_DECIMALS = 1000

Operator = Literal["=", "<", "<=", ">", ">="]
Value = str | Decimal | datetime


class Kind(StrEnum):
    """What the values of a keyword are."""

    WORD = "word"
    """A text that must be equal, whatever its case; `*` at its end stands for any rest."""
    PART = "part"
    """A text that is contained, whatever its case."""
    CODE = "code"
    """One of a few words."""
    NUMBER = "number"
    DAY = "day"
    """A day, a month, `today`, or so many days ago such as `7d`."""
    FLAG = "flag"
    ORDER = "order"


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyword:
    """One keyword: its values, and an example with what it finds, for people.

    `codes` are the words of a CODE, FLAG or ORDER, each with what it stands for.
    """

    kind: Kind
    example: str
    finds: str
    codes: Mapping[str, str] = field(default_factory=dict)


_CONDITIONS = {
    **{one.value.replace("_", "-"): one.value for one in Condition},
    "nm": Condition.NEAR_MINT.value,
    "lp": Condition.LIGHTLY_PLAYED.value,
    "mp": Condition.MODERATELY_PLAYED.value,
    "hp": Condition.HEAVILY_PLAYED.value,
    "dmg": Condition.DAMAGED.value,
    "open": "",
}
_FINISHES = {
    **{one.value.replace("_", "-"): one.value for one in Finish},
    "reverse": Finish.REVERSE_HOLO.value,
    "open": "",
}
_EDITIONS = {**{one.value: one.value for one in Edition}, "1st": Edition.FIRST.value, "open": ""}
_FLAGS = ("priced", "unpriced", "graded", "noted", "changed", "pictured", "paid")
_ORDERS = (
    *("name", "set", "number", "price", "paid", "bin", "lot", "scanned", "received", "confidence"),
)

KEYWORDS: Mapping[str, Keyword] = {
    "set": Keyword(
        kind=Kind.WORD, example="set:PAF,base1", finds="cards of these sets, by code, id or name"
    ),
    "number": Keyword(kind=Kind.WORD, example="number:4", finds="the number on the card"),
    "card": Keyword(kind=Kind.WORD, example="card:base1-4", finds="one printing, by its id"),
    "lang": Keyword(kind=Kind.WORD, example="-lang:en", finds="the language; here: all others"),
    "finish": Keyword(
        kind=Kind.CODE, example="finish:reverse", finds="the finish, or `open`", codes=_FINISHES
    ),
    "edition": Keyword(
        kind=Kind.CODE, example="edition:first", finds="the print run, or `open`", codes=_EDITIONS
    ),
    "condition": Keyword(
        kind=Kind.CODE, example="condition:nm,lp", finds="the wear, or `open`", codes=_CONDITIONS
    ),
    "bin": Keyword(kind=Kind.WORD, example="bin:A*", finds="where the card lies"),
    "lot": Keyword(kind=Kind.WORD, example='lot:"estate sale"', finds="the purchase"),
    "note": Keyword(kind=Kind.PART, example="note:crease", finds="a word in the note"),
    "station": Keyword(kind=Kind.WORD, example="station:left", finds="the box that scanned it"),
    "status": Keyword(
        kind=Kind.CODE,
        example="status:review",
        finds="counted, asked about, or rejected",
        codes={one.value: one.value for one in ItemStatus},
    ),
    "stock": Keyword(
        kind=Kind.CODE,
        example="stock:sold",
        finds="in stock, reserved, sold or removed",
        codes={one.value: one.value for one in Stock},
    ),
    "grader": Keyword(kind=Kind.WORD, example="grader:PSA", finds="who graded the card"),
    "grade": Keyword(kind=Kind.WORD, example="grade:10", finds="the grade"),
    "price": Keyword(kind=Kind.NUMBER, example="price>=5", finds="the last price of one card"),
    "paid": Keyword(kind=Kind.NUMBER, example="paid<2.50", finds="what one card was bought for"),
    "confidence": Keyword(
        kind=Kind.NUMBER, example="confidence<0.9", finds="how sure the station was, 0 to 1"
    ),
    "scanned": Keyword(
        kind=Kind.DAY, example="scanned>=2026-11", finds="when; also `today` and `7d`"
    ),
    "is": Keyword(
        kind=Kind.FLAG,
        example="is:unpriced",
        finds="; ".join(_FLAGS),
        codes={one: one for one in _FLAGS},
    ),
    "order": Keyword(
        kind=Kind.ORDER,
        example="order:-price",
        finds=f"the order; `-` turns it round: {', '.join(_ORDERS)}",
        codes={one: one for one in _ORDERS},
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One condition: a keyword, empty for a word, an operator, and the alternatives.

    Of a DAY, each value is the first moment of a span, and `ends` are the moments after them.
    `others` are the terms that `or` joins to this one: one of them all must hold.
    """

    keyword: str
    operator: Operator
    values: tuple[Value, ...]
    negated: bool = False
    ends: tuple[datetime, ...] = ()
    others: tuple["Term", ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemQuery:
    """Conditions that must all hold, and the order: a word of `order`, and whether descending."""

    terms: tuple[Term, ...] = ()
    order: str = "received"
    descending: bool = True


class QueryFault(ValueError):
    """A query that cannot be understood: why, and where in its text."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


_OR = re.compile(r"or(?=\s|\Z)", re.IGNORECASE)
_BETWEEN = 'two terms stand around `or`; the word itself is "or", in quotes'
_TOKEN = re.compile(r"(?P<minus>-?)(?:(?P<keyword>[a-z]+)(?P<operator>[:<>=]=?))?", re.IGNORECASE)
_OPERATORS: Mapping[str, Operator] = {
    ":": "=",
    "=": "=",
    "==": "=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
}
_DAYS_AGO = re.compile(r"([0-9]{1,4})d\Z")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?\Z")


def parse_query(text: str, today: date) -> ItemQuery:
    """Return the query that a text is.

    Raises:
        QueryFault: it cannot be understood.
    """
    if len(text) > MAX_QUERY:
        message = f"{len(text):,} characters are too many: at most {MAX_QUERY:,}"
        raise QueryFault(message, MAX_QUERY, len(text))
    text = text.replace("\x00", " ")
    terms: list[Term] = []
    joined: tuple[int, int] | None = None
    count = 0
    order, descending = ItemQuery().order, ItemQuery().descending
    at = 0
    while (at := _skip_space(text, at)) < len(text):
        if joining := _OR.match(text, at):
            if not terms or joined:
                raise QueryFault(_BETWEEN, at, joining.end())
            joined, at = joining.span(), joining.end()
            continue
        term, end = _read_term(text, at, today)
        if term.keyword == "order":
            if joined:
                raise QueryFault(_BETWEEN, *joined)
            order, descending = str(term.values[0]), term.negated
        elif joined:
            terms[-1], joined = replace(terms[-1], others=(*terms[-1].others, term)), None
        else:
            terms.append(term)
        count += 1
        if count == MAX_TERMS and _skip_space(text, end) < len(text):
            raise QueryFault(f"more than {MAX_TERMS} terms", at, len(text))
        at = end
    if joined:
        raise QueryFault(_BETWEEN, *joined)
    return ItemQuery(terms=tuple(terms), order=order, descending=descending)


def with_term(text: str, name: str, value: str) -> str:
    """Return a query's text with one more condition; empty where the language cannot say it."""
    if value == "" and "open" in KEYWORDS[name].codes:
        value = "open"
    if not value or '"' in value or value.endswith("*"):
        return ""
    quoted = f'"{value}"' if "," in value or any(one.isspace() for one in value) else value
    longer = f"{text.strip()} {name}:{quoted}".strip()
    return longer if len(longer) <= MAX_QUERY else ""


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _read_term(text: str, start: int, today: date) -> tuple[Term, int]:
    head = _TOKEN.match(text, start)
    assert head is not None  # noqa: S101 - it matches nothing, too
    name, sign = (head["keyword"] or "").lower(), head["operator"]
    negated = bool(head["minus"])
    if sign is None:
        words, end = _read_values(text, start + negated, split=False)
        return Term(keyword="", operator="=", values=words, negated=negated), end
    keyword, named_end = KEYWORDS.get(name), start + negated + len(name)
    if keyword is None:
        near = _nearest(name)
        hint = f"; did you mean `{near}:`?" if near else ""
        raise QueryFault(f"there is no keyword `{name}`{hint}", start + negated, named_end)
    operator = _OPERATORS.get(sign)
    ordered = keyword.kind in {Kind.NUMBER, Kind.DAY}
    if operator is None or (operator != "=" and not ordered):
        raise QueryFault(f"`{name}` is followed by `:`, not by `{sign}`", named_end, head.end())
    at = head.end()
    if keyword.kind is Kind.ORDER and text[at : at + 1] == "-":
        negated, at = not negated, at + 1
    texts, end = _read_values(text, at, split=keyword.kind is not Kind.ORDER)
    values: list[Value] = []
    ends: list[datetime] = []
    for one in texts:
        value, until = _read_value(name, keyword, one, today, (at, end))
        if isinstance(value, datetime) and operator != "=" and _DAYS_AGO.match(one.lower()):
            until = value + timedelta(days=1)  # `>7d` is after that day, not after today
        values.append(value)
        if until is not None:
            ends.append(until)
    return (
        Term(
            keyword=name,
            operator=operator,
            values=tuple(values),
            negated=negated,
            ends=tuple(ends),
        ),
        end,
    )


def _read_values(text: str, start: int, *, split: bool) -> tuple[tuple[str, ...], int]:
    """Return the values from a place on, and where they end; without `split` a comma is text."""
    values, value, quoted_at, at = list[str](), "", -1, start
    while at < len(text) and (quoted_at >= 0 or not text[at].isspace()):
        letter = text[at]
        if letter == '"':
            quoted_at = at if quoted_at < 0 else -1
        elif letter == "," and split and quoted_at < 0:
            values.append(value)
            value = ""
        else:
            value += letter
        at += 1
    values.append(value)
    if quoted_at >= 0:
        raise QueryFault("this quotation mark is not closed", quoted_at, len(text))
    if "" in values:
        raise QueryFault("a value is missing here", max(0, start - 1), at)
    if len(values) > MAX_VALUES:
        raise QueryFault(f"{len(values)} values are too many: at most {MAX_VALUES}", start, at)
    return tuple(values), at


def _read_value(
    name: str, keyword: Keyword, text: str, today: date, place: tuple[int, int]
) -> tuple[Value, datetime | None]:
    match keyword.kind:
        case Kind.WORD | Kind.PART:
            return text, None
        case Kind.CODE | Kind.FLAG | Kind.ORDER:
            code = keyword.codes.get(text.lower().replace("_", "-"))
            if code is None:
                known = ", ".join(keyword.codes)
                raise QueryFault(f"`{name}` knows {known}; not `{text}`", *place)
            return code, None
        case Kind.NUMBER:
            return _number(name, text, place), None
        case _:  # a day
            return _span(text, today, place)


def _number(name: str, text: str, place: tuple[int, int]) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, str) or exponent < -MAX_DECIMALS or number.adjusted() > 12:
        raise QueryFault(f"`{name}` is compared with a number such as 2.50, not `{text}`", *place)
    return number


def _span(text: str, today: date, place: tuple[int, int]) -> tuple[datetime, datetime]:
    """Return the span of time that a text names, in UTC."""
    try:
        first, last = _days(text.lower(), today)
    except (ValueError, OverflowError):
        message = f"a day such as 2026-11-27, 2026-11, today or 7d is expected, not `{text}`"
        raise QueryFault(message, *place) from None
    return _midnight(first), _midnight(last)


def _days(text: str, today: date) -> tuple[date, date]:
    if text == "today":
        return today, today + timedelta(days=1)
    if ago := _DAYS_AGO.match(text):
        return today - timedelta(days=int(ago[1])), today + timedelta(days=1)
    found = _DATE.match(text)
    if found is None:
        raise ValueError(text)
    year, month, day = int(found[1]), int(found[2]), int(found[3] or 1)
    first = date(year, month, day)
    if found[3]:
        return first, first + timedelta(days=1)
    return first, date(year + month // 12, month % 12 + 1, 1)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _nearest(name: str) -> str:
    """Return the keyword that a name is probably meant to be; empty without one."""
    alike = [one for one in KEYWORDS if one.startswith(name[:2]) or name.startswith(one[:3])]
    return min(alike, key=lambda one: (abs(len(one) - len(name)), one), default="")
