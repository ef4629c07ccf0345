"""Files of marketplaces and collection apps: how each one's columns are read as rows of cards.

A format is a description, not a program: which headings name it, which of our columns each heading
fills, what its words mean, and which columns tell its rows apart. What is read goes the way of any
other file (`item_rows`): an unknown word is asked about, and a printing must be found.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from cardmint_cloud.domain.item_rows import RowFault, column_name, unknown_columns

_AS_OF = re.compile(r"_\(as_of_[0-9-]+\)\Z")
_MARK_OF_AN_APP = re.compile(r"\A\*|\A#_")

Cells = Mapping[str, str]
"""Cells by heading, as `heading` spells it."""


class FormatKind(StrEnum):
    """What a file of others says: cards to add, what a marketplace offers, what it sold."""

    CARDS = "cards"
    STOCK = "stock"
    SALES = "sales"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFormat:
    """One kind of file. Headings are as `heading` spells them.

    A file is of this format if it has all the headings of `marks`. `reads` names the heading that
    fills each of our columns, `words` what its words mean there, `constant` what all rows have.
    `refine` returns our cells where a heading holds several of our values, and may raise RowFault.
    `identity` tells rows apart for files that add cards: the same row again adds nothing; where
    rows of two files may be equal, `apart` says that files are told apart, too. `ignored`
    are headings whose loss nobody minds, such as market prices. Rows whose first cell begins with
    `footer` are read over. `market` is whose stock or sales a file has: `sku` then names what is on
    sale, `listed` how many of it, `price` (in `currency`) for how much, `orders` who bought it.
    """

    name: str
    title: str
    kind: FormatKind
    marks: frozenset[str]
    reads: Mapping[str, str]
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    constant: Mapping[str, str] = field(default_factory=dict)
    refine: Callable[[Cells, dict[str, str]], dict[str, str]] | None = None
    identity: tuple[str, ...]
    apart: bool = False
    ignored: frozenset[str] = frozenset()
    footer: str = ""
    market: str = ""
    sku: tuple[str, ...] = ()
    listed: str = ""
    price: str = ""
    currency: str = ""
    orders: str = ""


class NotACard(RowFault):
    """A row about something else than a single card of this game: left out, and not wrong."""


def heading(text: str) -> str:
    """Return a heading as formats name it: `Market Price (As of 2026-11-28)` is `market_price`."""
    return _AS_OF.sub("", _MARK_OF_AN_APP.sub("", column_name(text)))


def own_columns(headings: Collection[str]) -> bool:
    """Whether all headings are columns of this program's own files."""
    return bool(headings) and not unknown_columns(headings)


def recognised(headings: Collection[str], formats: Sequence[FileFormat]) -> list[FileFormat]:
    """Return the formats that the headings of a file name, those with most marks alone."""
    named = [one for one in formats if one.marks <= set(headings)]
    most = max((len(one.marks) for one in named), default=0)
    return [one for one in named if len(one.marks) == most]


class FormatReader:
    """Reads rows of one file of a format as rows of cards; the order of rows counts.

    `scope` names the file where the format tells files apart. `unused` counts the rows that have a
    value under a heading which nothing keeps.
    """

    def __init__(self, form: FileFormat, scope: str = "") -> None:
        self.form = form
        self._scope = scope if form.apart else ""
        self.unused: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._known = {*form.reads.values(), *form.ignored}

    def read(self, cells: Cells) -> dict[str, str]:
        """Return a row in our columns.

        Raises:
            RowFault: it cannot be read.
        """
        form = self.form
        for name, text in cells.items():
            if name not in self._known and text.strip():
                self.unused[name] += 1
        row = {name: cells.get(place, "").strip() for name, place in form.reads.items()}
        for name, words in form.words.items():
            text = row.get(name, "")
            row[name] = words.get(text.lower(), text)
        row.update(form.constant)
        row["reference"] = self._reference(cells)
        return form.refine(cells, row) if form.refine else row

    def _reference(self, cells: Cells) -> str:
        """Return a name for a row: of what tells it apart, and its number among equal rows."""
        own = (cells.get(name, "").strip() for name in self.form.identity)
        parts = "\x1f".join((self._scope, *own))
        digest = hashlib.sha256(parts.encode(errors="replace")).hexdigest()[:24]
        self._seen[digest] += 1
        number = self._seen[digest]
        return f"{self.form.name}:{digest}" + (f"#{number}" if number > 1 else "")
