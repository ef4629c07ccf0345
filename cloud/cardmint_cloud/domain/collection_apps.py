"""How collection apps write names, numbers, variants and grades."""

import re
from collections.abc import Mapping

from cardmint_cloud.domain import tcgplayer
from cardmint_cloud.domain.file_formats import Cells, NotACard
from cardmint_cloud.domain.item_rows import RowFault
from cardmint_contracts.cards import Condition, Edition, Finish

DRAGON_SHIELD_WORDS: Mapping[str, Mapping[str, str]] = {
    "condition": {
        "mint": Condition.NEAR_MINT.value,
        "nearmint": Condition.NEAR_MINT.value,
        **{
            name.lower(): f"dragon shield {name}"
            for name in ("Excellent", "Good", "LightPlayed", "Played", "Poor")
        },
    },
    "finish": {"false": "", "0": "", "no": ""},
}
"""The European scale, of which only the best two are ours: the others are asked about."""

_PRICECHARTING_NAME = re.compile(
    r"(?P<name>[^\[#]+?)\s*(?:\[(?P<variant>[^\]]*)\]\s*)?#(?P<number>\S+)\s*\Z"
)
_PRICECHARTING_VARIANTS: Mapping[str, tuple[str, str]] = {
    "": ("", ""),
    "1st edition": (Edition.FIRST.value, ""),
    "unlimited": (Edition.UNLIMITED.value, ""),
    "holo": ("", Finish.HOLO.value),
    "holofoil": ("", Finish.HOLO.value),
    "reverse": ("", Finish.REVERSE_HOLO.value),
    "reverse holo": ("", Finish.REVERSE_HOLO.value),
    "non holo": ("", Finish.NORMAL.value),
    "non-holo": ("", Finish.NORMAL.value),
}
_POKECOLLECTOR_VARIANTS = {
    "holo": Finish.HOLO.value,
    "reverse": Finish.REVERSE_HOLO.value,
    "reverse holo": Finish.REVERSE_HOLO.value,
}
_GRADE = re.compile(r"(?:Graded\s+)?(?P<grade>[0-9]{1,2}(?:\.[0-9])?)\Z", re.IGNORECASE)
_SLAB = re.compile(r"(?P<grader>\S+)\s+(?P<grade>.+)\Z")


def of_scan_list(cells: Cells, row: dict[str, str]) -> dict[str, str]:
    """Read a row of TCGplayer's scan list."""
    row |= tcgplayer.printing_cells(cells.get("printing", ""))
    return tcgplayer.with_product(row, cells.get("product_id", ""))


def of_pricecharting(cells: Cells, row: dict[str, str]) -> dict[str, str]:
    """Read a row of a collection: `Charizard [1st Edition] #4` of `Pokemon Base Set`.

    Raises:
        RowFault: it has a variant or a grade that has no meaning here.
    """
    console = row["set_name"]
    if not console.lower().startswith("pokemon "):
        raise NotACard(f"another game: {console[:40]}")
    found = _PRICECHARTING_NAME.fullmatch(row["name"])
    if found is None:
        raise NotACard("no number: sealed, or no card")
    variant = _PRICECHARTING_VARIANTS.get((found["variant"] or "").strip().lower())
    if variant is None:
        raise RowFault(
            f"{row['name'][:80]!r}: CardMint does not keep the variant `{found['variant'][:40]}`"
        )
    name = console[len("pokemon ") :]
    if name.lower().startswith("japanese "):
        name, row["language"] = name[len("japanese ") :], "ja"
    row |= {"name": found["name"], "number": found["number"], "set_name": name}
    row["edition"], row["finish"] = variant
    pennies = cells.get("cost_basis_in_pennies", "").strip()
    if pennies not in {"", "0"} and row["quantity"] in {"", "1"}:
        # Whether the basis of several cards is that of one, or their sum, the file does not say.
        row |= {"paid": f"{pennies}e-2", "paid_currency": "USD"}
    if row["grader"]:
        grade = _GRADE.fullmatch(cells.get("include_string", "").strip())
        if grade is None:
            raise RowFault(f"no grade: {cells.get('include_string', '')[:40]!r}")
        row["grade"] = grade["grade"]
    return row


def of_collectr(cells: Cells, row: dict[str, str]) -> dict[str, str]:
    """Read a row of a portfolio; watched cards, which nobody has, are none."""
    if (game := cells.get("category", "").strip()).lower() not in tcgplayer.POKEMON:
        raise NotACard(f"another game: {game[:40]}")
    if not row["number"]:
        raise NotACard("no number: sealed, or no card")
    if row["quantity"] in {"", "0"}:
        raise NotACard("quantity 0")
    row["number"] = row["number"].rsplit(maxsplit=1)[-1]
    row["name"] = tcgplayer.card_name(row["name"], row["number"])
    row |= tcgplayer.printing_cells(cells.get("variance", ""))
    grade = cells.get("grade", "").strip()
    if grade and grade.lower() != "ungraded":
        slab = _SLAB.fullmatch(grade)
        if slab is None:
            raise RowFault(f"no grader and grade: {grade[:40]!r}")
        row |= {"grader": slab["grader"], "grade": slab["grade"]}
    return row


def of_pokecollector(cells: Cells, row: dict[str, str]) -> dict[str, str]:
    """Read a row whose number may have the code of its set before it: `ASC 152`."""
    row["number"] = row["number"].rsplit(maxsplit=1)[-1] if row["number"] else ""
    variant = cells.get("variant", "").strip()
    known = _POKECOLLECTOR_VARIANTS.get(variant.lower())
    return row | ({"finish": known} if known else tcgplayer.printing_cells(variant))
