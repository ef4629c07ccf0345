"""Cardmarket's words: numbers of languages, seven European conditions, and flags of articles."""

from collections.abc import Mapping

from cardmint_cloud.domain.file_formats import Cells
from cardmint_cloud.domain.item_rows import RowFault
from cardmint_contracts.cards import Condition, Edition, Finish

LANGUAGES: Mapping[str, str] = {
    "1": "en",
    "2": "fr",
    "3": "de",
    "4": "es",
    "5": "it",
    "6": "zh-cn",
    "7": "ja",
    "8": "pt",
    "9": "ru",
    "10": "ko",
    "11": "zh-tw",
}
_NEAR_MINT = Condition.NEAR_MINT.value
_CONDITIONS = ("MT", "NM", "EX", "GD", "LP", "PL", "PO")
_ASKED = {name: f"cardmarket {name}" for name in _CONDITIONS[2:]}
WORDS: Mapping[str, Mapping[str, str]] = {
    "language": LANGUAGES,
    "condition": {
        **{str(n): _ASKED.get(name, _NEAR_MINT) for n, name in enumerate(_CONDITIONS, 1)},
        **{name.lower(): _ASKED.get(name, _NEAR_MINT) for name in _CONDITIONS},
    },
}
"""Both of the best conditions are near mint or better. The others are of another scale than ours,
where LP is a worse card: what they stand for is asked, under a word that cannot be mistaken."""

_YES = ("1", "x", "true", "yes", "y")


def of_article(cells: Cells, row: dict[str, str]) -> dict[str, str]:
    """Read an article, which is named by its product alone.

    Raises:
        RowFault: four cards are one article, or a flag has no meaning here.
    """
    return _flagged(cells, row, playset="isplayset", foil="isfoil", reverse="isreverseholo")


def of_old_article(cells: Cells, row: dict[str, str]) -> dict[str, str]:
    """Read an article of the former API, which had no columns for reverse holo and first edition.

    Raises:
        RowFault: as `of_article`.
    """
    row["set_name"], row["name"] = "", ""  # They have no number: the product says which card it is.
    return _flagged(cells, row, playset="playset?", foil="foil?", reverse="")


def _flagged(
    cells: Cells, row: dict[str, str], *, playset: str, foil: str, reverse: str
) -> dict[str, str]:
    def has(name: str) -> bool:
        return cells.get(name, "").strip().lower() in _YES

    if has(playset):
        raise RowFault("a playset is four cards in one article: split it on Cardmarket")
    row["product"] = f"cardmarket:{cells.get('idproduct', '').strip()}"
    row["finish"] = Finish.REVERSE_HOLO.value if has(reverse) else ""
    if has(foil):
        row["finish"] = "cardmarket foil"
    row["edition"] = Edition.FIRST.value if has("isfirsted") else ""
    return row
