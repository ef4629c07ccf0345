"""Files for marketplaces and collection apps, as one table: columns, and what each can say.

A card that a format cannot say is left out with the reason. Nothing is converted to a neighbouring
word: a condition of one scale is none of another's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from cardmint_cloud.domain.item_rows import defused, number_of
from cardmint_cloud.domain.provider_ids import pricecharting_console
from cardmint_contracts.cards import Card, Condition, Edition, Finish
from cardmint_contracts.currencies import digits

Line = dict[str, str]
"""A line's values by name: those of items, and what the catalogue has besides."""

_UNGRADED = {"": ""}
_FINISHES = {
    Finish.NORMAL.value: "Normal",
    Finish.HOLO.value: "Holofoil",
    Finish.REVERSE_HOLO.value: "Reverse Holofoil",
}
_CONDITIONS = {
    Condition.NEAR_MINT.value: "Near Mint",
    Condition.LIGHTLY_PLAYED.value: "Lightly Played",
    Condition.MODERATELY_PLAYED.value: "Moderately Played",
    Condition.HEAVILY_PLAYED.value: "Heavily Played",
    Condition.DAMAGED.value: "Damaged",
}


class Unsaid(ValueError):
    """A card that a format cannot say, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenFormat:
    """A file for another program. Its lines are sorts of cards with their number.

    `columns` are headings, each with a text in which `{name}` stands for a value of the line.
    `keeps` are the values of items that it keeps, and by which cards are put into lines. `says`
    has, for a value, the words for it: a card with any other is left out. `refine` derives what a
    template cannot, and may raise Unsaid. `currency` is that of its prices, and `priced` whether a
    card needs one. `offers` files leave reserved cards out. `cannot` says what is lost, to people.
    """

    name: str
    title: str
    columns: Mapping[str, str]
    keeps: tuple[str, ...]
    says: Mapping[str, Mapping[str, str]]
    cannot: tuple[str, ...]
    refine: Callable[[Line], Line]
    currency: str = ""
    priced: bool = False
    offers: bool = False
    delimiter: str = ","
    line_end: str = "\r\n"
    before: tuple[str, ...] = field(default=())

    def header(self, today: date) -> list[str]:
        """Return the headings; some have the day in them."""
        return [one.replace("{today}", today.isoformat()) for one in self.columns]

    def cells(self, line: Line) -> list[str]:
        """Return a line's cells; no spreadsheet takes a text for a formula.

        Raises:
            Unsaid: the format has no word for a value.
        """
        said = dict(line)
        for name, words in self.says.items():
            if line[name] not in words:
                raise Unsaid(f"{name} is {line[name] or 'open'}")
            said[name] = words[line[name]]
        said["price"] = self._price(line)
        said = self.refine(said)
        return [defused(text.format_map(said)) for text in self.columns.values()]

    def _price(self, line: Line) -> str:
        if line["currency"] and line["currency"] == self.currency and int(line["minor"]) > 0:
            return digits(int(line["minor"]), self.currency).replace(",", "")
        if self.priced:
            raise Unsaid(f"no price in {self.currency}")
        return ""


def _cardmarket(line: Line) -> Line:
    if not line["cardmarket"]:
        raise Unsaid("the catalogue has no single product of Cardmarket for it")
    return line


def _collectr(line: Line) -> Line:
    slab = f"{line['grader']} {line['grade']}" if line["grader"] else "Ungraded"
    total = f"/{line['official']}" if line["official"] else ""
    return line | {"slab": slab, "number": f"{number_of(line['number']).upper()}{total}"}


def _pokecollector(line: Line) -> Line:
    if not line["code"]:
        raise Unsaid("its set has no code")
    return line | {"number": number_of(line["number"]).upper()}


def _pricecharting(line: Line) -> Line:
    variant = " ".join(one for one in (line["edition"], line["finish"]) if one)
    card = Card(
        id=line["card_id"], name=line["name"], set_id=line["set_id"], set_name=line["set_name"]
    )
    pennies = line["paid_minor"] if line["paid_currency"] == "USD" else ""
    return line | {
        "product": line["name"] + (f" [{variant}]" if variant else ""),
        "number": number_of(line["number"]).upper(),
        "console": pricecharting_console(card),
        "include": f"Graded {line['grade']}" if line["grader"] else "Ungraded",
        "pennies": pennies,
    }


_GRADERS = (
    *("PSA", "BCCG", "BVG", "BGS", "CSG", "CGC", "SGC", "KSA", "GMA", "HGA", "ISA", "PCA", "GSG"),
    *("PGS", "MNT", "TAG", "Rare", "RCG", "PCG", "ACE", "CGA", "TCG", "ARK"),
)
EBAY_GRADERS = {name.upper(): f"27501{n}" for n, name in enumerate(_GRADERS)}
EBAY_GRADES = {f"{grade / 2:g}": f"27502{n}" for n, grade in enumerate(range(20, 1, -1))}
_EBAY_CONDITIONS = {
    Condition.NEAR_MINT.value: "Near mint or better - (ID: 400010)",
    Condition.LIGHTLY_PLAYED.value: "Lightly played (Excellent) - (ID: 400015)",
    Condition.MODERATELY_PLAYED.value: "Moderately played (Very good) - (ID: 400016)",
    Condition.HEAVILY_PLAYED.value: "Heavily played (Poor) - (ID: 400017)",
}
EBAY_TITLE = 80


def _ebay(line: Line) -> Line:
    graded = bool(line["grader"])
    grader, grade = EBAY_GRADERS.get(line["grader"].upper()), EBAY_GRADES.get(line["grade"])
    if graded and not (grader and grade):
        raise Unsaid(f"eBay has no {line['grader']} {line['grade']}")
    if graded and len(line["certificate"]) > 30:
        raise Unsaid("its certificate has more than 30 characters")
    wear = _EBAY_CONDITIONS.get(line["condition"])
    if not graded and wear is None:
        raise Unsaid(f"condition is {line['condition'] or 'open'}")
    slab = f"{line['grader']} {line['grade']}" if graded else ""
    parts = (line["name"], line["number"], line["set_name"], line["edition"], line["finish"], slab)
    return line | {
        "title": " ".join(one for one in parts if one)[:EBAY_TITLE].strip(),
        "state": "2750" if graded else "4000",
        "grader": grader or "",
        "grade": grade or "",
        "wear": "" if graded else wear or "",
        "graded": "Yes" if graded else "No",
    }


COLLECTR = WrittenFormat(
    name="collectr",
    title="Collectr portfolio",
    columns={
        "Portfolio Name": "{lot}",
        "Category": "Pokemon",
        "Set": "{set_name}",
        "Product Name": "{name}",
        "Card Number": "{number}",
        "Rarity": "",
        "Variance": "{finish}",
        "Grade": "{slab}",
        "Card Condition": "{condition}",
        "Average Cost Paid": "",
        "Quantity": "{count}",
        "Market Price (As of {today})": "{price}",
        "Price Override": "",
        "Watchlist": "false",
        "Date Added": "",
        "Notes": "{note}",
    },
    keeps=("language", "finish", "edition", "condition", "grader", "grade", "lot", "note"),
    says={
        "language": {"en": "en"},
        "finish": _FINISHES,
        "edition": {"": ""},
        "condition": {**_CONDITIONS, "": ""},
    },
    refine=_collectr,
    currency="USD",
    cannot=(
        "Only English cards are written, and read again with an open language: it has no column.",
        "First editions, bins, certificates and what was paid are not written.",
        "Whether Collectr imports this file was not verified.",
    ),
)
POKECOLLECTOR = WrittenFormat(
    name="pokecollector",
    title="pokecollector",
    columns={
        "set_code": "{code}",
        "number": "{number}",
        "quantity": "{count}",
        "condition": "{condition}",
        "variant": "{finish}",
        "lang": "{language}",
    },
    keeps=("language", "finish", "edition", "condition", "grader"),
    says={
        "finish": _FINISHES,
        "edition": {"": ""},
        "condition": {
            **dict(zip(_CONDITIONS, ("NM", "LP", "MP", "HP", "DMG"), strict=True)),
            "": "",
        },
        "grader": _UNGRADED,
    },
    refine=_pokecollector,
    line_end="\n",
    cannot=(
        "First editions, graded cards, bins, lots, notes and what was paid are not written.",
        "Which words it takes for conditions and variants was not verified.",
    ),
)
CARDMARKET = WrittenFormat(
    name="cardmarket-stock",
    title="Cardmarket stock, for a tool that lists it",
    columns={
        "idProduct": "{cardmarket}",
        "groupCount": "{count}",
        "price": "{price}",
        "idLanguage": "{language}",
        "condition": "{condition}",
        "isFoil": "",
        "isSigned": "",
        "isAltered": "",
        "isPlayset": "",
        "isReverseHolo": "{finish}",
        "isFirstEd": "{edition}",
        "isFullArt": "",
        "isUberRare": "",
        "isWithDie": "",
    },
    keeps=("language", "finish", "edition", "condition", "grader"),
    says={
        "language": {
            "en": "1",
            "fr": "2",
            "de": "3",
            "es": "4",
            "it": "5",
            "zh-cn": "6",
            "ja": "7",
            "pt": "8",
            "ru": "9",
            "ko": "10",
            "zh-tw": "11",
        },
        "finish": {Finish.NORMAL.value: "", Finish.HOLO.value: "", Finish.REVERSE_HOLO.value: "1"},
        "edition": {"": "", Edition.UNLIMITED.value: "", Edition.FIRST.value: "1"},
        "condition": {Condition.NEAR_MINT.value: "2"},
        "grader": _UNGRADED,
    },
    refine=_cardmarket,
    currency="EUR",
    priced=True,
    offers=True,
    delimiter=";",
    cannot=(
        "Cardmarket has no upload for most sellers: this is the file of its export, for a tool.",
        "Its conditions are of another scale: only near mint is written.",
        "Graded cards, and cards without a price in EUR or a product number are left out.",
    ),
)
PRICECHARTING = WrittenFormat(
    name="pricecharting",
    title="PriceCharting collection",
    columns={
        "id": "",
        "product-name": "{product} #{number}",
        "console-name": "{console}",
        "price-in-pennies": "",
        "include-string": "{include}",
        "condition-string": "Normal wear",
        "sku": "",
        "notes": "{note}",
        "cost-basis-in-pennies": "{pennies}",
        "quantity": "{count}",
        "date-entered": "",
        "date-purchased": "",
        "grading-company": "{grader}",
        "grading-cert-id": "{certificate}",
        "folder": "{lot}",
    },
    keeps=(
        *("language", "finish", "edition", "grader", "grade", "certificate", "lot", "note"),
        *("paid_minor", "paid_currency"),
    ),
    says={
        "language": {"en": "en"},
        "finish": {"": "", "normal": "", "holo": "Holo", "reverse_holo": "Reverse Holo"},
        "edition": {"": "", Edition.UNLIMITED.value: "", Edition.FIRST.value: "1st Edition"},
    },
    refine=_pricecharting,
    cannot=(
        "Conditions and bins are not written. Only English cards are.",
        "A normal finish is read again as an open one, an unlimited edition likewise.",
        "The columns of its import page were not verified: this is the file of its export.",
    ),
)
EBAY = WrittenFormat(
    name="ebay",
    title="eBay drafts (US)",
    columns={
        "Action(SiteID=US|Country=US|Currency=USD|Version=1193|CC=UTF-8)": "Draft",
        "CustomLabel": "{card_id}",
        "*Category": "183454",
        "*Title": "{title}",
        "*ConditionID": "{state}",
        "CD:Professional Grader - (ID: 27501)": "{grader}",
        "CD:Grade - (ID: 27502)": "{grade}",
        "CDA:Certification Number - (ID: 27503)": "{certificate}",
        "CD:Card Condition - (ID: 40001)": "{wear}",
        "*C:Game": "Pokémon TCG",
        "C:Card Name": "{name}",
        "C:Set": "{set_name}",
        "C:Card Number": "{number}",
        "C:Finish": "{finish}",
        "C:Language": "{language}",
        "C:Graded": "{graded}",
        "PicURL": "",
        "*Description": "{title}",
        "*Format": "FixedPrice",
        "*Duration": "GTC",
        "*StartPrice": "{price}",
        "*Quantity": "{count}",
    },
    keeps=("language", "finish", "edition", "condition", "grader", "grade", "certificate"),
    says={
        "language": {
            "en": "English",
            "fr": "French",
            "de": "German",
            "it": "Italian",
            "es": "Spanish",
            "pt": "Portuguese",
            "ja": "Japanese",
            "ko": "Korean",
            "zh-tw": "Chinese",
            "zh-cn": "Chinese",
        },
        "finish": _FINISHES,
        "edition": {"": "", "unlimited": "Unlimited", "first": "1st Edition"},
    },
    refine=_ebay,
    currency="USD",
    priced=True,
    offers=True,
    cannot=(
        "Lines are drafts: nothing is for sale before you publish it.",
        "Shipping, returns, payment and pictures are added on eBay.",
        "Damaged cards have no condition there: they are left out, as are cards without a price.",
        "The template of a category changes, and this one was not verified with eBay.",
    ),
)
WRITTEN = {one.name: one for one in (CARDMARKET, COLLECTR, EBAY, POKECOLLECTOR, PRICECHARTING)}
